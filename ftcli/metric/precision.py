"""Precision, TP / (TP + FP): the mean over labels (macro), precision@micro, @LABEL of one, @class of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric._counts import LabelCounts

if TYPE_CHECKING:
    import torch


@register("metric")
class Precision(LabelCounts):
    def figures(self, both: torch.Tensor, found: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Returns the precision of each label, (num_labels,), 0 for one that is never predicted."""
        return both / found.clamp(min=1)
