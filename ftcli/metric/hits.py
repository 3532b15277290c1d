"""hits@k, the share of rows whose right answer is among the k most probable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric._counts import TopK, rank

if TYPE_CHECKING:
    import torch


@register("metric")
class Hits(TopK):
    def figures(self, predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns 1.0 for each row that hits, (n,)."""
        return (rank(predictions, labels) < self.k).float()
