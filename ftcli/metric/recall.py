"""Recall, TP / (TP + FN): the mean over labels (macro), recall@micro, @LABEL of one, @class of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric._counts import LabelCounts

if TYPE_CHECKING:
    import torch


@register("metric")
class Recall(LabelCounts):
    def figures(self, both: torch.Tensor, found: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Returns the recall of each label, (num_labels,), 0 for one that no row has."""
        return both / right.clamp(min=1)
