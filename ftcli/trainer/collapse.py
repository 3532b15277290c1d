"""Whether a model predicts the same, or nothing, for every row of an evaluation: figures alone rarely show it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from ftcli.batching.output import Scored
from ftcli.metric._counts import THRESHOLD, predicted_ids

if TYPE_CHECKING:
    import torch

KINDS = ("classes", "ids", "multilabel", "ranking", "answers", "values")
"""Kinds of predictions that can collapse, as metrics name them."""
ENOUGH = 2
"""Different predictions from which on there is nothing to say."""
SAME = 1e-6
"""Numbers whose range is this share of the labels' range are one number."""


class Collapse:
    """Collects the different predictions and labels of an evaluation, few of each, and the range of numbers.

    Args:
        names: of the labels, by id.
    """

    def __init__(self, names: Sequence[str] | None) -> None:
        self.names = list(names or [])
        self.found: set[Hashable] = set()
        self.right: set[Hashable] = set()
        self.spread, self.wanted = _Range(), _Range()
        self.noun = ""

    def add(self, scored: Scored) -> None:
        """Adds a batch, as the task gives it to metrics."""
        kind = next((kind for kind in KINDS if kind in scored), None)
        if kind is None or len(self.found) >= ENOUGH:
            return
        predictions, labels = scored[kind]
        if kind == "values":
            self.spread.add(predictions)
            self.wanted.add(labels)
        elif kind == "answers":
            self.found |= set(predictions)
            self.right |= {tuple(answers) for answers in labels}
        elif kind == "multilabel":
            self.found |= _patterns(predictions >= THRESHOLD)
            self.right |= _patterns(labels > 0)
        else:
            self.noun = "choice number" if kind == "ranking" else ""
            self.found |= {(one,) for one in set(predicted_ids(predictions).tolist())}
            self.right |= {(one,) for one in set(labels.tolist())}

    def said(self) -> str | None:
        """Returns what every row is predicted as; None where predictions differ, or all labels are equal."""
        if self.wanted.size > 0:
            same = 0 <= self.spread.size <= SAME * self.wanted.size
            return "every prediction is one number" if same else None
        if len(self.found) != 1 or len(self.right) < ENOUGH:
            return None
        only = next(iter(self.found))
        if not isinstance(only, tuple):
            return f"every answer is {only!r}" if only else "no answer is predicted for any row"
        if not only:
            return "no label is predicted for any row"
        if self.noun:
            return f"every prediction is the {self.noun} {only[0] + 1}"
        shown = ", ".join(repr(self.names[i]) if i < len(self.names) else str(i) for i in only)
        return f"every prediction is {shown}"


class _Range:
    """Least and largest of numbers."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf

    def add(self, values: torch.Tensor) -> None:
        """Adds numbers, (batch,)."""
        if values.numel():
            low, high = float(values.min()), float(values.max())
            self.low = min(self.low, -math.inf if math.isnan(low) else low)
            self.high = max(self.high, math.inf if math.isnan(high) else high)

    @property
    def size(self) -> float:
        """The distance between them; infinite where one is NaN, below 0 where there are none."""
        return self.high - self.low


def _patterns(chosen: torch.Tensor) -> set[Hashable]:
    """Returns the different sets of labels among (batch, num_labels) bool."""
    return {tuple(row.nonzero().flatten().tolist()) for row in chosen.cpu()}
