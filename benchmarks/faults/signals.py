"""SIGINT, SIGTERM, SIGUSR1 and SIGHUP at random moments: ended within one step and one save, with the documented code, no child left.

    python -m benchmarks.faults.signals [--count 100] [--seed 1] [--no-record]

The moment is drawn over the whole command, its build included. A run that was stopped has exit code 130, 143, 138 or 129, no traceback, and a
checkpoint of its last step where it had made one; its process group is empty afterwards, and every tenth one is resumed to the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from benchmarks.faults import figure, forks, tiny_run

TITLE = "SIGINT, SIGTERM, SIGUSR1, SIGHUP at random moments: ended within one step and one save, documented exit code, no child left"
KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
PATIENCE = 30.0
"""Seconds after which a process that a signal should have ended is killed, and counted as hanging."""


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Sends `count` signals, one a run."""
    words = tiny_run.words(
        folder, "trainer.max_steps=30", "trainer.save_every_n_steps=10", "trainer.eval_every_n_steps=15"
    )
    forks.warm_up()
    reference, log = folder / "reference", folder / "reference.txt"
    began = time.monotonic()
    if forks.wait(forks.start(["train", *words, "--run-dir", str(reference)], log, folder / "cache")):
        sys.exit(log.read_text())
    length, expected = time.monotonic() - began, tiny_run.outcome(reference)
    tally, draw, delays, late = figure.Tally(), random.Random(seed), [], 0
    while tally.tried < count:
        place = folder / f"{tally.tried}-{late}"
        place.mkdir()
        run, number = place / "run", KINDS[tally.tried % len(KINDS)]
        moment = draw.uniform(0, length)
        arguments = ["train", *words, "--run-dir", str(run), "--resume"]
        pid = forks.start(arguments, place / "log.txt", folder / "cache", before=os.setsid)
        time.sleep(moment)
        if forks.ended(pid):
            late += 1
            length = max(0.9 * length, 0.2)
            forks.wait(pid)
            continue
        sent = time.monotonic()
        known = logged(run)
        # A process that has not yet made its group is the parent's: only this one is meant.
        os.kill(pid, number)
        code = forks.wait(pid, seconds=PATIENCE)
        delays.append(time.monotonic() - sent)
        failure = judge(place, run, pid, number, code, known)
        if not failure and tally.tried % 10 == 0:
            again = forks.wait(forks.start(arguments, place / "resumed.txt", folder / "cache"), seconds=120)
            if again or tiny_run.outcome(run) != expected:
                failure = f"the resume ended with {again} or other bytes: {forks.text_of(place / 'resumed.txt')[-300:]}"
        tally.count(f"{number.name} after {moment:.2f} s: {failure}" if failure else None)
    tally.measured = (
        f"slowest end {max(delays):.2f} s after the signal; {late} more runs had ended before their signal"
    )
    return tally


def judge(place: Path, run: Path, pid: int, number: signal.Signals, code: int, known: int) -> str | None:
    """Returns what did not hold of a run that got a signal, or None."""
    said = forks.text_of(place / "log.txt")
    if forks.TRACEBACK in said:
        return f"traceback: {said[-500:]}"
    if code == 0 and (run / "result.json").is_file():
        return None  # the signal came after the last step
    if code == -number and not (run / "config.yaml").exists():
        return None  # before ftcli had begun: Python's own answer
    if code != 128 + number:
        return f"exit code {code}: {said[-300:]}"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, 0)
        return "a child is left"
    step, saved = logged(run), tiny_run.newest(run)
    if step and saved is None:
        return f"step {step} was made and nothing is saved"
    if saved is not None and saved > known + 2:
        return f"the signal came at step {known}, the end at step {saved}"
    return None


def logged(run: Path) -> int:
    """Returns the last step of metrics.jsonl, which has a line each step."""
    steps = [0]
    with contextlib.suppress(FileNotFoundError):
        for line in (run / "metrics.jsonl").read_text().splitlines():
            with contextlib.suppress(ValueError):
                steps.append(json.loads(line).get("step", 0))
    return max(steps)


if __name__ == "__main__":
    sys.exit(figure.main("signals", TITLE, 100, trial))
