"""How every epoch of a run is cut into batches: by rows, or by padded tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ftcli.batching.sampler import epoch_batches
from ftcli.batching.token_budget import token_epochs
from ftcli.batching.token_table import TokenTable
from ftcli.config.schema import TrainerConfig


class Epochs(Protocol):
    """The batches of any epoch; all epochs have equally many."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch."""

    def batches(self, seed: int, epoch: int) -> list[np.ndarray]:
        """Returns the row numbers of each batch of an epoch, (batch,) int64 each: a pure function of both arguments.

        Args:
            seed: of the run, at least 0.
            epoch: counted from 0.
        """

    def hardest(self) -> list[np.ndarray]:
        """Returns batches, (batch,) row numbers each, of which one needs as much memory as any batch."""


@dataclass(frozen=True, slots=True)
class RowEpochs:
    """Epochs of batches of `trainer.batch_size` rows."""

    lengths: np.ndarray
    """(num_rows,) tokens a row"""
    batch_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch, the ragged last one included."""
        return math.ceil(len(self.lengths) / self.batch_size)

    def batches(self, seed: int, epoch: int) -> list[np.ndarray]:
        """Returns the batches of `sampler.epoch_batches`, (batch,) int64 each."""
        return epoch_batches(self.lengths, batch_size=self.batch_size, seed=seed, epoch=epoch)

    def hardest(self) -> list[np.ndarray]:
        """Returns one batch of the longest rows there are, (batch_size,) row numbers."""
        return [np.argsort(-self.lengths, kind="stable")[: self.batch_size]]


def plan_epochs(table: TokenTable, trainer: TrainerConfig) -> Epochs:
    """Returns the batches of a run's epochs.

    Args:
        table: the training rows.
        trainer: its batch_size or token_budget.

    Raises:
        ConfigError: a row that is longer than `trainer.token_budget`.
    """
    if trainer.token_budget is not None:
        return token_epochs(table, trainer.token_budget)
    return RowEpochs(table.lengths, trainer.batch_size)


def rows_of_length(trainer: TrainerConfig, tokens: int) -> int:
    """Returns the rows of a batch in which each row has `tokens` tokens."""
    if trainer.token_budget is None:
        return trainer.batch_size
    return max(1, trainer.token_budget // max(tokens, 1))
