"""Share of rows whose most probable class is their label."""

from __future__ import annotations

from ftcli.metric import ConfusionMatrix
from ftcli.registry import register


@register("metric")
class Accuracy(ConfusionMatrix):
    def compute(self) -> float:
        """Returns correct / all, from 0 to 1."""
        counts = self.counted()
        return float(counts.trace() / counts.sum())
