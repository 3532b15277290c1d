"""Whether a model predicts one label, or none, for every row of an evaluation: figures alone rarely show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftcli.batching.output import Scored
from ftcli.metric._counts import THRESHOLD, predicted_ids

if TYPE_CHECKING:
    import torch

KINDS = ("classes", "ids", "multilabel")
"""Kinds of predictions that can collapse, as metrics name them."""
ENOUGH = 2
"""Different predictions from which on there is nothing to say."""


class Collapse:
    """Collects the different predictions and labels of an evaluation, two of each at most.

    Args:
        names: of the labels, by id.
    """

    def __init__(self, names: Sequence[str] | None) -> None:
        self.names = list(names or [])
        self.found: set[tuple[int, ...]] = set()
        self.right: set[tuple[int, ...]] = set()

    def add(self, scored: Scored) -> None:
        """Adds a batch, as the task gives it to metrics."""
        kind = next((kind for kind in KINDS if kind in scored), None)
        if kind is None or len(self.found) >= ENOUGH:
            return
        predictions, labels = scored[kind]
        if kind == "multilabel":
            self.found |= _patterns(predictions >= THRESHOLD)
            self.right |= _patterns(labels > 0)
        else:
            self.found |= {(one,) for one in set(predicted_ids(predictions).tolist())}
            self.right |= {(one,) for one in set(labels.tolist())}

    def said(self) -> str | None:
        """Returns what every row is predicted as; None where predictions differ, or all labels are equal."""
        if len(self.found) != 1 or len(self.right) < ENOUGH:
            return None
        ids = next(iter(self.found))
        if not ids:
            return "no label is predicted for any row"
        shown = ", ".join(repr(self.names[i]) if i < len(self.names) else str(i) for i in ids)
        return f"every prediction is {shown}"


def _patterns(chosen: torch.Tensor) -> set[tuple[int, ...]]:
    """Returns the different sets of labels among (batch, num_labels) bool."""
    return {tuple(row.nonzero().flatten().tolist()) for row in chosen.cpu()}
