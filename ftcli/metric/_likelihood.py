"""Sums over the tokens that a language model predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.metric import Metric

if TYPE_CHECKING:
    import torch


class Likelihood(Metric):
    """Sums of a language model's rows: log p of the right tokens, hits, tokens and bytes."""

    kinds = ("likelihood",)

    def reset(self) -> None:
        """Forgets all rows."""
        self.log_p = self.hits = self.targets = self.num_bytes = 0.0

    def update(self, predictions: torch.Tensor, labels: torch.Tensor) -> None:
        """Adds rows of the kind `likelihood`.

        Args:
            predictions: (n, 2) fp64: sum of log p, in nats, and how many right tokens are the most probable ones.
            labels: (n, 2) int64: tokens and bytes of text that were predicted.
        """
        for (log_p, hits), (targets, num_bytes) in zip(predictions.tolist(), labels.tolist(), strict=True):
            self.log_p += log_p
            self.hits += hits
            self.targets += targets
            self.num_bytes += num_bytes
