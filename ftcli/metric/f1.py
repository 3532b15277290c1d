"""Macro F1: the mean over classes of 2 TP / (2 TP + FP + FN)."""

from __future__ import annotations

from ftcli.metric import ConfusionMatrix
from ftcli.registry import register


@register("metric")
class F1(ConfusionMatrix):
    def compute(self) -> float:
        """Returns the mean over the classes that occur, as label or prediction, from 0 to 1.

        A class that occurs in neither has no F1 and is left out, as in scikit-learn's
        `f1_score(average="macro")`.
        """
        counts = self.counted()
        occurrences = counts.sum(0) + counts.sum(1)
        occurs = occurrences > 0
        return float((2 * counts.diagonal()[occurs] / occurrences[occurs]).mean())
