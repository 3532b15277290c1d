"""Share of rows predicted right: the most probable class or choice, or every one of several labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric._counts import THRESHOLD, Mean, predicted_ids

if TYPE_CHECKING:
    import torch


@register("metric")
class Accuracy(Mean):
    kinds = ("classes", "ranking", "multilabel", "ids")

    def figures(self, predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns 1.0 for each row that is right, (n,)."""
        if labels.ndim == 2:
            return ((predictions >= THRESHOLD) == (labels > 0)).all(1).float()
        return (predicted_ids(predictions) == labels).float()
