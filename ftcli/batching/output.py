"""What a task returns from a forward pass: the contract between the tasks, which fill it, and the trainer, which adds up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

LOG_P, TOP = 0, 1
"""Columns of the `logits` of a language model's task: log p of the right token, and 1 where no other is more probable."""
Scored = dict[str, tuple[Any, Any]]
"""Kind of a metric -> (predictions, labels), in the form that ftcli/metric describes."""


@dataclass(slots=True)
class StepOutput:
    """A loss that can be added up: over micro-batches and ranks, sums and numbers of targets are added."""

    loss_sum: torch.Tensor
    """Scalar fp32, the sum over targets, not their mean; carries the graph."""
    num_targets: int
    """Terms of that sum; 0 for a batch without labels."""
    logits: torch.Tensor
    """fp32, detached; (batch, num_labels), or the shape that the task's `logits` states. Language models: (num_targets, 2),
    columns LOG_P and TOP, as the vocabulary's own logits would not fit into memory."""
