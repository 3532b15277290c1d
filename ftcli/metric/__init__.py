"""Metrics, one file each; what they share is the confusion matrix below.

A metric has `higher_is_better`, `update(probabilities, labels)`, `compute()` and `reset()`. It keeps
counts only, so its memory does not grow with the rows, and counts of several processes add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class ConfusionMatrix:
    """Counts of (label, prediction) pairs; a metric is a figure computed from them."""

    higher_is_better = True

    def __init__(self) -> None:
        self.counts: torch.Tensor | None = None
        """(num_labels, num_labels) int64: row = label, column = prediction; None before any update."""

    def reset(self) -> None:
        """Forgets all rows."""
        self.counts = None

    def update(self, probabilities: torch.Tensor, labels: torch.Tensor) -> None:
        """Counts a batch.

        Args:
            probabilities: (batch, num_labels); the highest is the prediction, the first one of equals.
            labels: (batch,) ids
        """
        num_labels = probabilities.shape[-1]
        pairs = labels * num_labels + probabilities.argmax(-1)
        counts = pairs.bincount(minlength=num_labels * num_labels).view(num_labels, num_labels)
        self.counts = counts if self.counts is None else self.counts + counts

    def counted(self) -> torch.Tensor:
        """Returns the counts as fp64 on the CPU.

        Raises:
            ValueError: nothing was counted.
        """
        if self.counts is None or not int(self.counts.sum()):
            raise ValueError("a metric of no rows has no value")
        return self.counts.cpu().double()
