"""metrics.jsonl: strict JSON whatever the numbers, cut exactly at a resume, durable, errors in one panel."""

import contextlib
import json
import math
import os
import resource
import signal

import pytest

from ftcli.config.registry import lookup
from ftcli.config.schema import LoggerConfig
from ftcli.errors import RunDirError

# Python 3.12 and later warn of every fork beside torch's threads; the children here start none.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def open_log(folder, resume_events=None, choice="jsonl"):
    build = lookup("logger", choice).build
    return build(
        LoggerConfig(),
        metrics_path=folder / "metrics.jsonl",
        tensorboard_dir=folder / "tensorboard",
        resume_step=resume_events,
        resume_events=resume_events,
    )


def strict_lines(folder) -> list[dict]:
    """Parses as RFC 8259 does: NaN and Infinity are no JSON."""

    def refuse(name: str):
        raise ValueError(name)

    return [
        json.loads(line, parse_constant=refuse)
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def test_lines_are_strict_json_in_the_order_given(tmp_path):
    log = open_log(tmp_path)
    log.log(
        {
            "event": "train",
            "step": 1,
            "loss": math.nan,
            "lr": {"b": 1e-5, "a": math.inf},
            "list": [-math.inf, (1, math.nan)],
        }
    )
    log.log(
        {"event": "eval", "step": 1, "accuracy": 0.1, "name": "gr\u00fcn\nzwei", "best": True, "none": None}
    )
    log.close()
    first, second = strict_lines(tmp_path)
    assert first == {
        "event": "train",
        "step": 1,
        "loss": "NaN",
        "lr": {"b": 1e-5, "a": "Infinity"},
        "list": ["-Infinity", [1, "NaN"]],
    }
    assert list(first) == ["event", "step", "loss", "lr", "list"] and list(first["lr"]) == ["b", "a"]
    assert second == {
        "event": "eval",
        "step": 1,
        "accuracy": 0.1,
        "name": "gr\u00fcn\nzwei",
        "best": True,
        "none": None,
    }


def test_a_line_is_there_before_the_next_is_begun(tmp_path):
    log = open_log(tmp_path)
    for step in range(3):
        log.log({"event": "train", "step": step})
        assert len(strict_lines(tmp_path)) == step + 1
    log.close()


@pytest.mark.parametrize(
    "torn",
    [
        "",
        '{"event": "train", "st',
        '{"event": "eval", "step": 4, "accuracy": 0.5',
        "\x00\x00\x00",
        "7\n",
        "[]\n",
        "{}\n",
    ],
)
def test_a_resume_cuts_later_steps_and_the_torn_line(tmp_path, torn):
    log = open_log(tmp_path)
    for step in (0, 2, 4, 6, 8):
        log.log({"event": "train", "step": step})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    log = open_log(tmp_path, resume_events=3)
    log.log({"event": "train", "step": 6, "again": True})
    log.close()
    assert [line["step"] for line in strict_lines(tmp_path)] == [0, 2, 4, 6]
    assert strict_lines(tmp_path)[-1]["again"]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_resume_keeps_as_many_lines_as_the_checkpoint_knew(tmp_path):
    log = open_log(tmp_path)
    log.log({"event": "phase", "step": 0})
    log.log({"event": "train", "step": 1})
    log.close()
    open_log(tmp_path, resume_events=1).close()
    assert [line["event"] for line in strict_lines(tmp_path)] == ["phase"]


def test_a_killed_process_loses_no_line(tmp_path):
    pid = os.fork()
    if pid == 0:
        log = open_log(tmp_path)
        for step in range(100):
            log.log({"event": "train", "step": step, "loss": 0.5})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert [line["step"] for line in strict_lines(tmp_path)] == list(range(100))


@pytest.mark.parametrize("choice", ["jsonl", "tensorboard"])
def test_a_full_disk_is_one_panel(tmp_path, choice):
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            log = open_log(tmp_path, choice=choice)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            try:
                for step in range(1000):
                    log.log({"event": "train", "step": step, "loss": 0.25})
                    if step % 50 == 49:
                        log.flush()
            except RunDirError as error:
                with contextlib.suppress(RunDirError):
                    log.close()
                code = 0 if str(tmp_path) in str(error) and "does not fit" in str(error) else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    log = open_log(tmp_path, resume_events=11)
    log.close()
    assert [line["step"] for line in strict_lines(tmp_path)] == list(range(11))
