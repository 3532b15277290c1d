"""Bit flips, truncations and zeroed pages over all files of a checkpoint: each is found and said, and the previous one is used.

    python -m benchmarks.faults.damage [--count 300] [--seed 1] [--no-record]

Of each six damages four are flips, one is a truncation, one a page of zeros; the files take turns.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from benchmarks.faults import figure, forks, tiny_run

TITLE = "bit flips (four of six), truncations, zeroed pages over all checkpoint files: found, said, the previous one is used"
PAGE = 4096


def damaged(data: bytes, kind: str, draw: random.Random) -> bytes:
    """Returns the bytes with one damage; never the same bytes, unless a file is all zeros."""
    if kind == "flip":
        place = draw.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
    if kind == "cut":
        return data[: draw.randrange(len(data))]
    pages = [start for start in range(0, len(data), PAGE) if any(data[start : start + PAGE])]
    start = draw.choice(pages)
    return data[:start] + bytes(len(data[start : start + PAGE])) + data[start + PAGE :]


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Trains a run and damages its newest checkpoint `count` times."""
    from ftcli.checkpoint.store import CheckpointStore

    run, log = folder / "run", folder / "log.txt"
    forks.warm_up()
    if forks.wait(
        forks.start(["train", *tiny_run.words(folder), "--run-dir", str(run)], log, folder / "cache")
    ):
        sys.exit(log.read_text())
    checkpoints = sorted((run / "checkpoints").glob("step-*"))
    newest, previous = checkpoints[-1], int(checkpoints[-2].name.removeprefix("step-"))
    files = {file: file.read_bytes() for file in sorted(newest.iterdir())}
    tally, draw, counts = figure.Tally(), random.Random(seed), dict.fromkeys(("flip", "cut", "zeros"), 0)
    kinds = ("flip", "flip", "flip", "flip", "cut", "zeros")
    for number in range(count):
        file, data = list(files.items())[(number // len(kinds)) % len(files)]
        kind = kinds[number % len(kinds)]
        file.write_bytes(damaged(data, kind, draw))
        store = CheckpointStore(run / "checkpoints", keep=3, readonly=True)
        found, said = store.latest(), " ".join(store.messages)
        well = (
            found is not None
            and found.step == previous
            and newest.name in said
            and "the previous one is used" in said
        )
        tally.count(None if well else f"{kind} in {file.name}: {said or 'nothing was said'}")
        counts[kind] += 1
        file.write_bytes(data)
    tally.measured = (
        ", ".join(f"{number} {kind}" for kind, number in counts.items())
        + f" over {', '.join(file.name for file in files)}"
    )
    return tally


if __name__ == "__main__":
    sys.exit(figure.main("damage", TITLE, 300, trial))
