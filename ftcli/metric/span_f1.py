"""F1 of whole entities: type, first and last word must all be right (micro), span-f1@class of each type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ftcli.config.registry import register
from ftcli.metric import Metric, require_rows
from ftcli.metric._spans import entities, scheme_of


@register("metric")
class SpanF1(Metric):
    """Entities are read in the scheme of the tags: BIO as conlleval does, IOBES and BILOU strictly (`_spans.py`)."""

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
        scheme = scheme_of(self.labels or {tag for row in (*predictions, *labels) for tag in row})
        for found_tags, right_tags in zip(predictions, labels, strict=True):
            found, right = entities(found_tags, scheme), entities(right_tags, scheme)
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
