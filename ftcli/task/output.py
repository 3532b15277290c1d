"""What a task hands the trainer after a forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class StepOutput:
    """A loss that adds up: over micro-batches and ranks, sums and numbers of targets are added."""

    loss_sum: torch.Tensor
    """Scalar fp32, the SUM over targets; carries the graph."""
    num_targets: int
    logits: torch.Tensor
    """(batch, num_labels) fp32, detached"""
