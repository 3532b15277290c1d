"""Pearson's correlation of predicted and true values."""

from __future__ import annotations

from ftcli.metric._sums import Sums
from ftcli.registry import register


@register("metric")
class Pearson(Sums):
    name = "PearsonCorrCoef"
