"""map@k, mean average precision of one right answer: 1 / place where it is among the first k, else 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric._counts import TopK, rank

if TYPE_CHECKING:
    import torch


@register("metric")
class MAP(TopK):
    def figures(self, predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the average precision at k of each row, (n,); as there is one right answer, its reciprocal place."""
        place = rank(predictions, labels)
        return (place < self.k) / (place + 1).double()
