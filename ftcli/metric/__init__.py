"""Metrics, one file each, and how their names are written.

A metric is registered by its class. It states `kinds`, the kinds of predictions it scores, takes
batches with `update(predictions, labels)` and keeps counts or sums only, on the device of what it is
given, so its memory does not grow with the rows. A task states which kinds it gives:

    classes     probabilities (n, num_labels) and ids (n,)
    ids         predicted ids (n,) and ids (n,), where a probability of every label is not at hand
    ranking     probabilities (n, num_choices), -1 where a row has no such choice, and the right one's place (n,)
    multilabel  probabilities (n, num_labels) and 0 or 1 for each (n, num_labels)
    values      numbers (n,) and numbers (n,)
    tags        lists of predicted tags, one a row, and lists of the right ones
    answers     predicted texts, one a row, and lists of the right ones, empty where there is no answer
    likelihood  sums of log p and hits (n, 2), and how many tokens and bytes they are of (n, 2), of a language model

`map@3` is the metric `map` with the parameter `3`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ftcli.errors import ConfigError, Problem


class Metric:
    """What all metrics share.

    Args:
        parameter: what stands behind the @ of the name, None for nothing.
        labels: names of the ids.

    Raises:
        ConfigError: a parameter that the metric does not take.
    """

    kinds: ClassVar[tuple[str, ...]] = ("classes",)
    higher_is_better: ClassVar[bool] = True
    takes: ClassVar[str] = ""
    """What may stand behind the @; empty for a metric without a parameter."""

    def __init__(self, parameter: str | None = None, labels: Sequence[str] = ()) -> None:
        self.parameter, self.labels = parameter, list(labels)
        if problem := self.wrong(parameter, labels):
            raise ConfigError(Problem("task.metrics", problem, self.takes and f"it takes {self.takes}"))
        self.reset()

    @classmethod
    def wrong(cls, parameter: str | None, labels: Sequence[str] | None = None) -> str:
        """Returns what is wrong with a parameter, or ''.

        Args:
            parameter: as typed.
            labels: names of the ids; None while they are not known.
        """
        return f"{cls.__name__} takes nothing behind an @, got {parameter!r}" if parameter is not None else ""

    def kind(self, offered: Sequence[str]) -> str:
        """Returns which of a task's kinds of predictions the metric takes: the first of its own that is offered."""
        return next(kind for kind in self.kinds if kind in offered)

    def reset(self) -> None:
        """Forgets all rows."""
        raise NotImplementedError

    def update(self, predictions: Any, labels: Any) -> None:
        """Counts a batch, in the form of one of the metric's kinds.

        Args:
            predictions: (n, num_labels), (n,) or n lists, as the module's docstring says for each kind.
            labels: of the same rows, likewise.
        """
        raise NotImplementedError

    def compute(self) -> float | dict[str, float]:
        """Returns the figure of all rows so far, or several by name.

        Raises:
            ValueError: there were no rows.
        """
        raise NotImplementedError


def require_rows(rows: float) -> None:
    """Raises ValueError where nothing was counted."""
    if not rows:
        raise ValueError("a metric of no rows has no value")
