"""Two runs in one directory: the second is refused and leaves the first alone; the lock of a killed run is recognised as stale.

    python -m benchmarks.faults.locks [--count 20] [--seed 1] [--no-record]

A run is started and, at a drawn moment while it trains, a second command goes to the same directory: `train`, `train --resume`, `resume`
or `resume` with a changed key. Then the first is killed by SIGKILL, a lock file of a dead process stays, and the run is resumed.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

from benchmarks.faults import figure, forks, tiny_run

TITLE = "two runs in one directory: the second refused by name, the first's bytes unchanged; stale locks recognised"


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Tries `count` pairs of processes."""
    words = tiny_run.words(
        folder, "trainer.max_steps=60", "trainer.save_every_n_steps=5", "trainer.eval_every_n_steps=20"
    )
    forks.warm_up()
    reference, log, cache = folder / "reference", folder / "reference.txt", folder / "cache"
    if forks.wait(forks.start(["train", *words, "--run-dir", str(reference)], log, cache)):
        sys.exit(log.read_text())
    expected, tally, draw = tiny_run.outcome(reference), figure.Tally(), random.Random(seed)
    for number in range(count):
        failure = one(folder / str(number), words, cache, expected, number, draw)
        tally.count(f"pair {number}: {failure}" if failure else None)
    return tally


def one(
    folder: Path, words: list[str], cache: Path, expected: dict[str, str], number: int, draw: random.Random
) -> str | None:
    """Returns what did not hold of one pair, or None."""
    folder.mkdir()
    run = folder / "run"
    place = ["--run-dir", str(run)]
    seconds = [
        ["train", *words, *place],
        ["train", *words, *place, "--resume"],
        ["resume", str(run)],
        ["resume", str(run), "trainer.patience=9"],
    ]
    first = forks.start(["train", *words, *place], folder / "first.txt", cache)
    while not any((run / "checkpoints").glob("step-*")) and not forks.ended(first):
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.3))
    kept = (run / "config.yaml").read_bytes()
    # Stopped, so that it is alive while the second one looks, however long that takes.
    import os

    os.kill(first, signal.SIGSTOP)
    code = forks.wait(forks.start(seconds[number % 4], folder / "second.txt", cache), seconds=60)
    said = forks.text_of(folder / "second.txt")
    alive = not forks.ended(first)
    os.kill(first, signal.SIGKILL)
    forks.wait(first)
    if not alive:
        return None
    if (
        code not in (1, 2)
        or forks.TRACEBACK in said
        or not ("is being written by process" in said or "holds a run already" in said)
    ):
        return f"{seconds[number % 4][0]} ended with {code}: {said[-300:]}"
    if (run / "config.yaml").read_bytes() != kept:
        return "config.yaml was changed by the second command"
    if not (run / ".lock").exists():
        return "there is no lock file to be stale"
    again = forks.wait(forks.start(["resume", str(run)], folder / "resumed.txt", cache), seconds=120)
    if again or tiny_run.outcome(run) != expected:
        return f"the resume ended with {again} or other bytes: {forks.text_of(folder / 'resumed.txt')[-300:]}"
    return None


if __name__ == "__main__":
    sys.exit(figure.main("locks", TITLE, 20, trial))
