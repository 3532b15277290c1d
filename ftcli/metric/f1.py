"""F1, 2 TP / (2 TP + FP + FN): the mean over labels (macro), f1@micro, f1@LABEL of one, f1@class of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.metric._counts import LabelCounts

if TYPE_CHECKING:
    import torch


@register("metric")
class F1(LabelCounts):
    def figures(self, both: torch.Tensor, found: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Returns F1 of each label, (num_labels,), 0 for one that occurs nowhere."""
        return 2 * both / (found + right).clamp(min=1)
