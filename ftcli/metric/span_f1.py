"""F1 of whole entities: type, first and last word must all be right (micro), span-f1@class of each type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ftcli.config.registry import register
from ftcli.metric import Metric, require_rows


@register("metric")
class SpanF1(Metric):
    """Entities are read from tags by seqeval, in the lenient way of conlleval: BIO, IOB1 and IOB2 alike."""

    kinds = ("tags",)
    takes = "class"

    @classmethod
    def wrong(cls, parameter: str | None, labels: Sequence[str] | None = None) -> str:
        """Returns what is wrong with a parameter, or ''."""
        return "" if parameter in (None, "class") else f"{parameter!r} is no parameter of span-f1"

    def reset(self) -> None:
        """Forgets all rows."""
        self.rows = 0
        self.both: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.right: Counter[str] = Counter()

    def update(self, predictions: list[list[str]], labels: list[list[str]]) -> None:
        """Adds rows of tags, one a word."""
        from seqeval.metrics.sequence_labeling import get_entities

        for found_tags, right_tags in zip(predictions, labels, strict=True):
            found, right = set(get_entities(found_tags)), set(get_entities(right_tags))
            self.both.update(kind for kind, *_ in found & right)
            self.found.update(kind for kind, *_ in found)
            self.right.update(kind for kind, *_ in right)
            self.rows += 1

    def compute(self) -> float | dict[str, float]:
        """Returns F1 from 0 to 1, 0 where there is no entity at all.

        Raises:
            ValueError: there were no rows.
        """
        require_rows(self.rows)
        if self.parameter == "class":
            return {kind: self._f1([kind]) for kind in sorted(self.found | self.right)}
        return self._f1([*(self.found | self.right)])

    def _f1(self, kinds: list[str]) -> float:
        both, found, right = (sum(c[kind] for kind in kinds) for c in (self.both, self.found, self.right))
        return 2 * both / (found + right) if found + right else 0.0
