"""Mean reciprocal rank of the right answer among all choices or classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric._counts import Mean, rank

if TYPE_CHECKING:
    import torch


@register("metric")
class MRR(Mean):
    kinds = ("ranking", "classes")

    def figures(self, predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns 1 / place of each row's right answer, (n,), 1 for the most probable."""
        return 1 / (rank(predictions, labels) + 1).double()
