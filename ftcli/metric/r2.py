"""R2, the share of the labels' variance that the predictions explain."""

from __future__ import annotations

from ftcli.metric._sums import Sums
from ftcli.registry import register


@register("metric")
class R2(Sums):
    name = "R2Score"
