"""Area under the ROC curve; of more than two classes the mean of each class against the rest."""

from __future__ import annotations

import math

import numpy as np

from ftcli.config.registry import register
from ftcli.metric._columns import Columns


@register("metric")
class AUROC(Columns):
    kinds = ("classes", "multilabel")

    def compute(self) -> float:
        """Returns the area from 0 to 1; NaN where no class has both rows that are and rows that are not of it.

        Raises:
            ValueError: there were no rows.
        """
        several = self.width == self.widths[1] and self.width > 1
        classes = [1] if self.width == 2 and not several else range(self.width)
        areas = []
        for number in classes:
            scores, labels = self.column(number, number if several else 0)
            right = labels > 0 if several else labels == number
            if 0 < right.sum() < len(right):
                areas.append(self._area(scores, right))
        return float(np.mean(areas)) if areas else math.nan

    @staticmethod
    def _area(scores: np.ndarray, right: np.ndarray) -> float:
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(right, scores))
