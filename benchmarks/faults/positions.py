"""Random (rows, batch, accumulation, ranks, epochs), interrupted three times each: no row doubled, missing or moved.

    python -m benchmarks.faults.positions [--count 1000] [--seed 1] [--no-record]

The loop's own `next_rows` and counters walk through a run without a model. At each interruption the state goes through the JSON of an
earlier checkpoint, and what came after it is done again, as after a kill.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks.faults import figure

TITLE = "random (rows, batch, accumulation, ranks, epochs), three interruptions each: no row doubled, missing or moved"


class Walk:
    """What `Trainer.next_rows` reads of a trainer."""

    def __init__(self, epochs, seed: int, state=None) -> None:
        from ftcli.trainer.state import TrainState

        self.epochs, self.steps_per_epoch = epochs, epochs.steps_per_epoch
        self.context = SimpleNamespace(seed=seed)
        self.state = state or TrainState()
        self._epoch_plan: tuple[int, list[np.ndarray]] = (-1, [])

    def step(self) -> np.ndarray:
        """Returns the rows of the next batch and counts the step."""
        from ftcli.trainer.state import Window
        from ftcli.trainer.trainer import Trainer

        rows = Trainer.next_rows(self)  # type: ignore[arg-type]
        self.state.count_step(Window(steps=1, rows=len(rows)))
        return rows


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Draws and walks `count` runs."""
    tally, draw, kinds = figure.Tally(), random.Random(seed), [0, 0]
    for _ in range(count):
        own = random.Random(draw.getrandbits(32))
        what = {"rows": own.randint(1, 400), "batch": own.choice([1, 2, 3, 7, 8, 16, 31, 64]), "micro": own.randint(1, 16),
                "ranks": own.randint(1, 8), "epochs": own.randint(1, 4), "seed": own.randint(0, 2**31), "budget": own.random() < 0.3}  # fmt: skip
        kinds[what["budget"]] += 1
        problem = walk(what, own)
        tally.count(f"{what}: {problem}" if problem else None)
    tally.measured = f"{kinds[0]} by rows, {kinds[1]} by a token budget"
    return tally


def walk(what: dict, draw: random.Random) -> str | None:
    """Returns what is wrong with the rows of one interrupted run, or None."""
    from ftcli.batching.sampler import micro_batches, rank_rows
    from ftcli.trainer.state import TrainState

    epochs = planned(what, draw)
    total = epochs.steps_per_epoch * what["epochs"]
    whole = Walk(epochs, what["seed"])
    expected = [whole.step() for _ in range(total)]
    stops = sorted(draw.randint(0, total) for _ in range(3))
    seen: list[np.ndarray] = []
    now, saved = Walk(epochs, what["seed"]), 0
    for stop in [*stops, total]:
        while now.state.step < stop:
            seen.append(now.step())
        if stop < total:
            saved = draw.randint(saved, stop)
            again = Walk(epochs, what["seed"])
            for _ in range(saved):
                again.step()
            text = json.dumps(again.state.to_json())
            seen, now = seen[:saved], Walk(epochs, what["seed"], TrainState.from_json(json.loads(text)))
    if not all(map(np.array_equal, seen, expected)) or len(seen) != total:
        return f"moved rows after stops at {stops}"
    for epoch in range(what["epochs"]):
        mine = np.concatenate(seen[epoch * epochs.steps_per_epoch : (epoch + 1) * epochs.steps_per_epoch])
        if not np.array_equal(np.sort(mine), np.arange(what["rows"])):
            return f"epoch {epoch} has not each row once"
    for batch in seen:
        shares = [rank_rows(batch, rank, what["ranks"]) for rank in range(what["ranks"])]
        pieces = [row for share in shares for piece in micro_batches(share, what["micro"]) for row in piece]
        if sorted(pieces) != sorted(batch.tolist()) or max(map(len, shares)) - min(map(len, shares)) > 1:
            return f"ranks do not share a batch of {len(batch)} rows"
    if whole.state.rows_seen != what["rows"] * what["epochs"] or now.state.rows_seen != whole.state.rows_seen:
        return f"{now.state.rows_seen} rows counted"
    return None


@dataclass(frozen=True, slots=True)
class Lengths:
    """What planning batches reads of a token table."""

    offsets: np.ndarray
    """(num_rows + 1,) where the tokens of each row begin"""
    groups: None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1


def planned(what: dict, draw: random.Random):
    """Returns the epochs of random row lengths, by rows or by a token budget."""
    from ftcli.batching.epochs import RowEpochs
    from ftcli.batching.token_budget import token_epochs

    lengths = np.array([draw.randint(2, 60) for _ in range(what["rows"])], dtype=np.int64)
    if what["budget"]:
        return token_epochs(Lengths(np.concatenate([[0], np.cumsum(lengths)])), max(64, what["batch"] * 20))  # type: ignore[arg-type]
    return RowEpochs(lengths, what["batch"])


if __name__ == "__main__":
    sys.exit(figure.main("positions", TITLE, 1000, trial))
