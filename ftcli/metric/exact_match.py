"""Share of answers that are a right one, word for word."""

from __future__ import annotations

from ftcli.config.registry import register
from ftcli.metric._answers import BestAnswer


@register("metric")
class ExactMatch(BestAnswer):
    """Case, punctuation, articles and spaces do not count."""

    def figure(self, found: str, right: str) -> float:
        """Returns 1 for equal texts."""
        return float(found == right)
