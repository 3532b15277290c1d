"""Pearson's correlation of predicted and true values."""

from __future__ import annotations

from ftcli.config.registry import register
from ftcli.metric._sums import Sums


@register("metric")
class Pearson(Sums):
    name = "PearsonCorrCoef"
