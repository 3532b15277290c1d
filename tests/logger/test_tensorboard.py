"""TensorBoard's own reader finds the scalars, and after a resume only those that count."""

import math
import os
import threading

import pytest

from ftcli.config.registry import lookup
from ftcli.config.schema import LoggerConfig

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def open_log(folder, resume_step=None, resume_events=None):
    build = lookup("logger", "tensorboard").build
    return build(
        LoggerConfig(),
        metrics_path=folder / "metrics.jsonl",
        tensorboard_dir=folder / "tensorboard",
        resume_step=resume_step,
        resume_events=resume_events,
    )


def read(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_numbers_become_scalars(tmp_path):
    log = open_log(tmp_path)
    log.log({"event": "train", "step": 1, "loss": 0.5, "lr": {"head": 0.25, "body": 0.125}})
    log.log({"event": "eval", "step": 1, "accuracy": 0.75, "best": True, "note": "text", "loss": math.nan})
    log.flush()
    log.close()
    found = read(tmp_path)
    assert set(found) == {"train/loss", "train/lr/head", "train/lr/body", "eval/accuracy", "eval/loss"}
    assert found["train/lr/body"] == [(1, 0.125)] and found["eval/accuracy"] == [(1, 0.75)]
    assert math.isnan(found["eval/loss"][0][1])
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_resume_purges_what_came_after_its_step(tmp_path):
    log = open_log(tmp_path)
    for step in range(1, 9):
        log.log({"event": "train", "step": step, "loss": float(step)})
    log.close()
    log = open_log(tmp_path, resume_step=5, resume_events=5)
    for step in range(6, 8):
        log.log({"event": "train", "step": step, "loss": 100.0 + step})
    log.close()
    expected = [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 5.0), (6, 106.0), (7, 107.0)]
    assert read(tmp_path)["train/loss"] == expected


def test_a_folder_whose_name_is_not_utf8_ends_no_run(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    log = open_log(folder)
    log.log({"event": "train", "step": 1, "loss": 0.5})
    log.flush()
    log.close()
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1
    (message,) = log.messages
    assert "caf\\udce9" in message and message.endswith(
        "is a name that is not UTF-8: TensorBoard gets no more events of this run"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_errors_of_other_threads_are_reported_as_before(tmp_path, monkeypatch):
    """The hook is there while the log is open, silent for TensorBoard's own threads alone, and gone afterwards."""
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    before = threading.excepthook

    def fail():
        raise OSError("another thread")

    log = open_log(tmp_path)
    hook = threading.excepthook
    assert hook is not before
    other = threading.Thread(target=fail)
    other.start()
    other.join()
    assert [str(error) for error in reported] == ["another thread"]
    (own,) = (thread for thread in threading.enumerate() if type(thread).__name__ == "_AsyncWriterThread")
    hook(threading.ExceptHookArgs((OSError, OSError("full"), None, own)))
    assert len(reported) == 1
    hook(threading.ExceptHookArgs((ValueError, ValueError("a defect"), None, own)))
    assert len(reported) == 2
    log.close()
    assert threading.excepthook is before
