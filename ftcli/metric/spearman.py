"""Spearman's rank correlation of predicted and true values."""

from __future__ import annotations

import math

import numpy as np

from ftcli.config.registry import register
from ftcli.metric import require_rows
from ftcli.metric._columns import Columns


@register("metric")
class Spearman(Columns):
    kinds = ("values",)

    def compute(self) -> float:
        """Returns the coefficient from -1 to 1; NaN where all predictions, or all labels, are equal.

        Raises:
            ValueError: there were no rows.
        """
        from scipy.stats import spearmanr

        require_rows(self.rows)
        found, right = self.column(0)
        if np.ptp(found) == 0 or np.ptp(right) == 0:
            return math.nan
        return float(spearmanr(found, right).statistic)
