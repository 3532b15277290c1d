"""Mean squared error of predicted values."""

from __future__ import annotations

from ftcli.metric._sums import Sums
from ftcli.registry import register


@register("metric")
class MSE(Sums):
    name = "MeanSquaredError"
    higher_is_better = False
