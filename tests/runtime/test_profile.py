"""train --profile: what adds up, what is written, and that it changes nothing."""

import gc
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftcli.runtime.profile_report import part_rows, profile_of
from ftcli.runtime.timers import OFF, STEP, RunningClock, Section
from ftcli.runtime.trace import ACTIVE, TRACE, WAIT, WARMUP, Window


@pytest.fixture
def hands(monkeypatch):
    """Returns the hands of the clock, `hands.now` in seconds: a busy machine moves them no further."""
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr("ftcli.runtime.timers.time", SimpleNamespace(perf_counter=lambda: found.now))
    return found


def test_nested_parts_are_counted_once_and_the_rest_is_other(hands):
    clock = RunningClock(98.0)
    with clock(Section.step):
        hands.now += 2
        with clock(Section.forward):
            hands.now += 4
        hands.now += 16
    hands.now += 8
    taken = {part: seconds for part, seconds in clock.read().items() if seconds}
    assert taken == {Section.imports: 2, Section.step: 18, Section.forward: 4, Section.other: 8}


def test_a_part_that_fails_is_left_all_the_same(hands):
    clock = RunningClock()
    with pytest.raises(ValueError), clock(Section.data):
        raise ValueError
    hands.now += 1
    assert clock.read()[Section.data] == 0 and clock.read()[Section.other] == 1


def test_without_profile_nothing_is_timed():
    assert OFF(Section.forward) is OFF(Section.backward)
    seconds = min(_time_off() for _ in range(5))
    # Seven parts a step: microseconds beside milliseconds.
    assert seconds / 1000 < 20e-6


def _time_off() -> float:
    began = time.perf_counter()
    for _ in range(1000):
        with OFF(Section.forward):
            pass
    return time.perf_counter() - began


def test_the_time_before_the_clock_counts_as_imports():
    clock = RunningClock(time.perf_counter() - 5)
    values = profile_of(clock)
    assert values["parts"][0]["part"] == Section.imports.value
    assert values["parts"][0]["seconds"] == pytest.approx(5, abs=0.1)
    assert part_rows(values)[-1][:3] == ["all", f"{values['wall_seconds']:.2f}", "100.0%"]


def run_window(folder: Path, left: int, taken: int) -> Window:
    import torch

    window = Window(folder, "cpu")
    window.begin(left)
    for _ in range(taken):
        with window.range("forward"):
            torch.ones(8, 8) @ torch.ones(8, 8)
        window.advance()
    window.end()
    return window


@pytest.mark.parametrize(
    ("left", "taken", "steps"),
    [
        (100, 20, (WAIT + WARMUP + 1, WAIT + WARMUP + ACTIVE)),
        (8, 8, (4, 8)),
        (2, 2, (2, 2)),
        (100, 14, (12, 14)),
        (100, 3, None),
        (1, 1, None),
    ],
)
def test_the_window_lies_after_the_first_steps_or_where_a_short_run_has_room(tmp_path, left, taken, steps):
    window = run_window(tmp_path / "profile", left, taken)
    assert window.steps == steps and window.error is None
    if steps is None:
        assert not list((tmp_path / "profile").iterdir()) and not window.operators
        return
    events = json.loads((tmp_path / "profile" / TRACE).read_text())["traceEvents"]
    ranges = [e for e in events if e.get("name") == "ftcli: forward"]
    assert len(ranges) == steps[1] - steps[0] + 1
    assert {o.name: o.calls for o in window.operators}["aten::mm"] == len(ranges)
    assert [p.name for p in (tmp_path / "profile").iterdir()] == [TRACE]


def test_a_trace_that_cannot_be_written_is_an_error_after_training(tmp_path, monkeypatch):
    monkeypatch.setattr(Window, "_export", _break(Window._export))
    window = run_window(tmp_path / "profile", 4, 4)
    assert window.steps is None and TRACE in str(window.error) and window.operators


def _break(export):
    def broken(self, profiler):
        shutil.rmtree(self.folder)
        export(self, profiler)

    return broken


def test_trained_bytes_are_the_same_and_the_parts_add_up(ftcli, tiny, tmp_path):
    words = [*tiny, "trainer.eval_every_n_steps=5"]
    plain = ftcli("train", *words, "--run-dir", "plain")
    assert plain.code == 0 and not Path("plain/profile").exists() and "where the time went" not in plain.out
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "ftcli", "train", *words, "--run-dir", "run", "--profile", "--json"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in ("model", "optimizer"):
        file = Path("checkpoints/last") / f"{name}.safetensors"
        assert ("plain" / file).read_bytes() == ("run" / file).read_bytes()
    values = json.loads(Path("run/profile/profile.json").read_text())
    assert json.loads(done.stdout)["profile"] == values
    seconds = {one["part"]: one["seconds"] for one in values["parts"]}
    assert sum(seconds.values()) == pytest.approx(values["wall_seconds"])
    wall = Path("run/profile/profile.json").stat().st_mtime - began
    assert wall * 0.8 < values["wall_seconds"] < wall + 0.02
    assert seconds["other"] < 0.05 * values["wall_seconds"]
    assert values["steps"] == 12 and all(one["seconds"] > 0 for one in values["parts"] if one["part"] in
        {part.value for part in STEP} - {Section.activation_read.value})  # fmt: skip
    assert {one["calls"] for one in values["parts"] if one["part"] in ("forward", "backward")} == {12}
    assert values["trace"] == {"file": TRACE, "first_step": 8, "last_step": 12}
    assert values["operators"] and Path("run/profile", TRACE).stat().st_size
    table = Path("run/profile/table.md").read_text()
    assert "| training, 12 steps |" in table and "| all |" in table
    assert "where the time went" in Path("run/train.log").read_text()


def test_a_resume_profiles_its_own_session(ftcli, tiny):
    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    Path("run/profile").write_text("in the way")
    failed = ftcli("resume", "run", "trainer.epochs=3", "--profile")
    assert failed.code == 2 and "run/profile" in failed.err.replace("\n", "")
    Path("run/profile").unlink()
    done = ftcli("resume", "run", "trainer.epochs=3", "--profile")
    assert done.code == 0 and "training, 6 steps" in done.out
    assert json.loads(Path("run/profile/profile.json").read_text())["steps"] == 6


def test_the_collector_rests_while_a_command_starts_and_works_while_it_trains(ftcli, tiny, monkeypatch):
    from ftcli.runtime.garbage_collection import STARTING, USUAL
    from ftcli.trainer.trainer import Trainer

    seen = []
    enter, fit = Trainer._enter, Trainer.fit
    monkeypatch.setattr(Trainer, "_enter", lambda self: (seen.append(gc.get_threshold()), enter(self))[1])
    monkeypatch.setattr(Trainer, "fit", lambda self: (seen.append(gc.get_threshold()), fit(self))[1])
    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    assert seen == [(STARTING, *USUAL[1:]), USUAL]


def test_the_end_of_a_command_looks_at_no_module_again(tmp_path):
    # What is registered before the command's own handler runs after it.
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count())); from ftcli.cli.app import main; main()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) > 1000


def test_profile_looks_at_one_run_that_trains(ftcli, tiny):
    assert "--dry-run" in ftcli("train", *tiny, "--dry-run", "--profile").err
    done = ftcli("train", *tiny, "num_seeds=2", "--profile")
    assert done.code == 2 and "--profile" in done.err and "seed=" in done.err
