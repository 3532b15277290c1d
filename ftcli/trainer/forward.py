"""The one forward: rows of a table -> a batch on the device -> the task's loss, in the run's precision.

Training, evaluation, the activation cache, the search for a micro-batch size and the diagnostics all compute a loss
with an object of this class, so padding, device and precision are decided in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftcli.runtime.device import autocast

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ftcli.batching.output import StepOutput
    from ftcli.batching.protocols import Batch, PredictingTask
    from ftcli.batching.token_table import TokenTable

Reading = Callable[["TokenTable", "np.ndarray", "Batch"], AbstractContextManager[None]]
"""(table, row numbers (batch,), their batch) -> a context in which a forward begins at cached activations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What a forward pass needs beside the model."""

    task: PredictingTask
    pad_id: int
    """Token id that fills rows up."""
    padding_side: str
    """`right` or `left`."""
    device: str
    """`cpu`, `cuda` or `mps`."""
    precision: str
    """`fp32`, `bf16` or `fp16`: of the autocast region."""
    cached_activations: Reading | None = None
    """The activation cache's `reading`; None: every forward computes the whole model."""

    def collate(self, table: TokenTable, rows: np.ndarray, *, pad_to_multiple: int | None = None) -> Batch:
        """Returns the batch of some rows, on the device.

        Args:
            table: the tokenized rows.
            rows: (batch,) row numbers.
            pad_to_multiple: widens the batch to a multiple; None: as wide as its longest row.

        Returns:
            The task's tensors by name; token ids are (num_sequences, seq_len) int64.
        """
        batch = self.task.collate(
            table,
            rows,
            pad_id=self.pad_id,
            padding_side=self.padding_side,
            pad_to_multiple=pad_to_multiple,
        )
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def autocast(self) -> AbstractContextManager[None]:
        """Returns the autocast region of the run's precision; nothing at all for fp32."""
        return autocast(self.device, self.precision)

    def reading(self, table: TokenTable, rows: np.ndarray, batch: Batch) -> AbstractContextManager[None]:
        """Returns a context in which a forward of the batch begins at the frozen prefix's cached activations.

        Args:
            table: the table that the batch was collated from; its identity selects the cached activations.
            rows: (batch,) row numbers of the batch.
            batch: what `collate` returned for them.
        """
        if self.cached_activations is None:
            return nullcontext()
        return self.cached_activations(table, rows, batch)

    def loss(self, model: torch.nn.Module, batch: Batch, *, train: bool) -> StepOutput:
        """Returns the loss of a batch as a sum over targets, () fp32, with the logits.

        Args:
            model: in the mode the caller wants.
            batch: of `collate`.
            train: whether what counts in training only (label smoothing) is part of the loss.
        """
        with self.autocast():
            return self.task.compute_loss(model, batch, train=train)
