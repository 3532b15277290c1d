"""F1 of the words of predicted and right answer, as bags, mean over rows."""

from __future__ import annotations

from collections import Counter

from ftcli.config.registry import register
from ftcli.metric._answers import BestAnswer


@register("metric")
class AnswerF1(BestAnswer):
    """Partly right answers count in part; an empty text is only right where nothing is."""

    def figure(self, found: str, right: str) -> float:
        """Returns 2 * common words / all words of both."""
        ours, theirs = found.split(), right.split()
        if not ours or not theirs:
            return float(ours == theirs)
        both = (Counter(ours) & Counter(theirs)).total()
        return 2 * both / (len(ours) + len(theirs))
