"""R2, the share of the labels' variance that the predictions explain."""

from __future__ import annotations

from ftcli.config.registry import register
from ftcli.metric._sums import Sums


@register("metric")
class R2(Sums):
    name = "R2Score"
