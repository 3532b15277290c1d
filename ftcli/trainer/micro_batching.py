"""How finely the batches of a run are split for a device's memory, step by step, and the record of it.

Dropout is drawn for each micro-batch, so a run repeats its bytes only where it splits the same steps the same way.
Every decision is therefore written down before the next step is taken, and a resume splits by the record,
whether memory would run out again or not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ftcli.batching.sampler import micro_batches
from ftcli.config.schema import TrainerConfig

AUTO, OUT_OF_MEMORY = "auto", "out of memory"


@dataclass(frozen=True, slots=True)
class Split:
    """From `step` on, counted from 0, batches are split in `parts` times as many micro-batches as stated."""

    step: int
    parts: int
    """A power of two."""
    why: str
    """`auto` or `out of memory`."""


@dataclass(slots=True, kw_only=True)
class MicroBatching:
    """Cuts a batch into micro-batches that fit in memory; together they are the batch, whatever their size."""

    rows: int | None
    """Rows of a micro-batch before any split: trainer.micro_batch_size, else trainer.batch_size. None: the
    whole batch of a token budget."""
    auto: bool = False
    """The first split is to be found on the device."""
    splits: list[Split] = field(default_factory=list)
    """In the order they were decided."""
    write: Callable[[Sequence[Split]], None] = lambda splits: None
    """Makes the record durable."""

    @property
    def decided(self) -> bool:
        """Nothing is to be found on the device before the first step."""
        return not self.auto or any(split.why == AUTO for split in self.splits)

    def parts(self, step: int) -> int:
        """Returns in how many times as many micro-batches as stated the batch of a step, 0-based, is split."""
        return max((split.parts for split in self.splits if split.step <= step), default=1)

    def at(self, step: int) -> list[Split]:
        """Returns what was decided at a step, 0-based."""
        return [split for split in self.splits if split.step == step]

    def size(self, num_rows: int, parts: int) -> int:
        """Returns the rows of a micro-batch, the last one excepted.

        Args:
            num_rows: of the batch.
            parts: in how many times as many micro-batches as stated it is split.
        """
        return min(num_rows, -(-(self.rows or num_rows) // parts))

    def cut(self, rows: np.ndarray, step: int) -> list[np.ndarray]:
        """Returns the micro-batches of a batch, in its order.

        Args:
            rows: (batch,) row numbers.
            step: 0-based.

        Returns:
            Row numbers, (micro_batch,) each.
        """
        return micro_batches(rows, self.size(len(rows), self.parts(step)))

    def add(self, split: Split) -> None:
        """Adds a decision; it is on the disk before it is used, so that a resume splits the same way."""
        splits = [*self.splits, split]
        self.write(splits)
        self.splits = splits

    def finer(self, num_rows: int, step: int) -> Split | None:
        """Halves the micro-batches of a step, and of all after it.

        Args:
            num_rows: of the step's batch.
            step: 0-based.

        Returns:
            The decision, recorded; None where a micro-batch is one row already.
        """
        parts = self.parts(step)
        size = self.size(num_rows, parts)
        if size == 1:
            return None
        while self.size(num_rows, parts) == size:
            parts *= 2
        split = Split(step, parts, OUT_OF_MEMORY)
        self.add(split)
        return split

    def format_message(self, split: Split, num_rows: int, *, recorded: bool) -> str:
        """Returns the line on a split that memory forced.

        Args:
            split: the decision.
            num_rows: of the batch of its step.
            recorded: an earlier process of this run made the decision.
        """
        why = "memory ran out here in an earlier session" if recorded else "out of memory"
        line = (
            f"step {split.step + 1}: {why}: its {num_rows} rows, and all batches from here on, are split in "
            f"{split.parts} times as many micro-batches ({self.size(num_rows, split.parts)} rows a pass); same rows, same order"
        )
        if not recorded and any(other.step > split.step for other in self.splits):
            line += "; an earlier session had memory for this step, so from here on the bytes are not its own"
        return line


def micro_batching_of(trainer: TrainerConfig) -> MicroBatching:
    """Returns how a configuration splits its batches, with nothing recorded."""
    whole = None if trainer.token_budget is not None else trainer.batch_size
    auto = trainer.micro_batch_size is not None and trainer.stated_micro_batch is None
    return MicroBatching(rows=trainer.stated_micro_batch or whole, auto=auto)


def recorded_micro_batching(trainer: TrainerConfig, path: Path) -> MicroBatching:
    """Returns how a run splits its batches; its record is a file, which is not there before the first decision.

    Args:
        trainer: trainer.*.
        path: the record, pieces.json of the run.

    Raises:
        RunDirError: not such a record.
    """
    from ftcli.storage.atomic import write_atomic
    from ftcli.storage.run_files import read_record

    def write(splits: Sequence[Split]) -> None:
        lines = ",\n  ".join(json.dumps(asdict(split)) for split in splits)
        write_atomic(path, f'{{"splits": [\n  {lines}\n]}}\n')

    micro_batching = micro_batching_of(trainer)
    micro_batching.write = write
    if os.path.lexists(path):
        entries = read_record(path)["splits"]
        micro_batching.splits = [Split(e["step"], max(e["parts"], 1), e["why"]) for e in entries]
    return micro_batching
