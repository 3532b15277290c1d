"""Mean squared error of predicted values."""

from __future__ import annotations

from ftcli.config.registry import register
from ftcli.metric._sums import Sums


@register("metric")
class MSE(Sums):
    name = "MeanSquaredError"
    higher_is_better = False
