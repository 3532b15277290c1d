"""Mean over the classes that occur of the share of their rows predicted right."""

from __future__ import annotations

from ftcli.config.registry import register
from ftcli.metric._counts import ConfusionMatrix


@register("metric")
class BalancedAccuracy(ConfusionMatrix):
    def compute(self) -> float:
        """Returns the mean recall from 0 to 1 over the classes that some row has."""
        counts = self.counted()
        rows = counts.sum(1)
        return float((counts.diagonal()[rows > 0] / rows[rows > 0]).mean())
