"""Matthews correlation coefficient, in Gorodkin's form for any number of classes."""

from __future__ import annotations

from ftcli.config.registry import register
from ftcli.metric._counts import ConfusionMatrix


@register("metric")
class MCC(ConfusionMatrix):
    def compute(self) -> float:
        """Returns the coefficient from -1 to 1; 0 when labels or predictions are all of one class.

        Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation
        coefficient": covariance of labels and predictions over the product of their deviations.
        """
        counts = self.counted()
        total, correct = counts.sum(), counts.trace()
        labels, predictions = counts.sum(1), counts.sum(0)
        covariance = correct * total - (labels * predictions).sum()
        spread = (total**2 - (labels**2).sum()) * (total**2 - (predictions**2).sum())
        return float(covariance / spread.sqrt()) if spread > 0 else 0.0
