"""Signals before the training loop: the documented exit code, one line, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from ftcli.run.session import RunSession
from ftcli.runtime.stopping import Stopped, caught, raising_stopped

STAGES = ("inputs", "tables", "runtime", "built")


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """The tests may run under nohup or in the background of a shell, where SIGHUP and SIGINT are ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
@pytest.mark.parametrize("stage", STAGES)
def test_while_a_run_is_built(ftcli, tiny, monkeypatch, name, stage):
    number = getattr(signal, name)
    build = RunSession.__dict__[stage].func

    def interrupted(session):
        signal.raise_signal(number)
        return build(session)

    monkeypatch.setattr(RunSession, stage, property(interrupted))
    before = signal.getsignal(number)
    done = ftcli("train", *tiny, "--run-dir", "run")
    assert done.code == 128 + number and "Traceback" not in done.err
    assert name == "SIGINT" or done.err.strip() == f"stopped by {name}"
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_in_training_the_state_is_saved(ftcli, tiny, monkeypatch, name):
    from ftcli.trainer.step import TrainStep

    step, number = TrainStep.__call__, getattr(signal, name)

    def interrupted(self, rows):
        if self.state.step == 2:
            signal.raise_signal(number)
        return step(self, rows)

    monkeypatch.setattr(TrainStep, "__call__", interrupted)
    done = ftcli("train", *tiny, "--run-dir", "run")
    assert done.code == 128 + number and f"stopped by {name}; the state is saved" in done.out
    monkeypatch.undo()


def test_a_run_under_nohup_goes_on_when_the_terminal_closes():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert caught(("SIGHUP", "SIGTERM")) == [signal.SIGTERM]
        with raising_stopped():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_it_is_no_error_that_something_on_the_way_could_take():
    with pytest.raises(Stopped, match="SIGUSR1") as caught_one, raising_stopped():
        try:
            signal.raise_signal(signal.SIGUSR1)
        except Exception:  # noqa: BLE001
            pytest.fail("taken for an error")
    assert caught_one.value.exit_code == 138


@pytest.mark.parametrize(("name", "raised"), [("SIGTERM", Stopped), ("SIGINT", KeyboardInterrupt)])
def test_a_signal_while_an_object_is_finalized_is_not_lost(capsys, name, raised):
    """Python drops what is raised in `__del__`, and prints a traceback of it."""

    class Finalized:
        def __del__(self):
            signal.raise_signal(getattr(signal, name))

    before = sys.unraisablehook
    with pytest.raises(raised), raising_stopped():
        Finalized()
        for _ in range(500):
            time.sleep(0.01)
    assert sys.unraisablehook is before and capsys.readouterr().err == ""


def test_another_thread_takes_no_signals():
    seen = []

    def work():
        with raising_stopped():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_while_the_first_modules_are_imported():
    """Ctrl-C right after the command was typed."""
    code = """
import sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
from ftcli.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nstopped\n")


def test_a_stream_that_is_closed_is_no_traceback():
    words = [sys.executable, "-m", "ftcli", "list", "optimizer"]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
