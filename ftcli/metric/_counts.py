"""What is counted on the device for several metrics: per label, or per pair of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftcli.metric import Metric, require_rows

if TYPE_CHECKING:
    import torch

THRESHOLD = 0.5
"""A label of several is predicted from this probability on."""


class LabelCounts(Metric):
    """Per label: rows that have it, rows predicted to have it, and rows where both are so.

    Without a parameter the figure is the mean over labels (macro), with `micro` that of all counts
    together, with the name of a label that label's own, with `class` one figure a label.
    """

    kinds = ("classes", "multilabel", "ids")
    takes = "micro, class, or the name of a label"

    @classmethod
    def wrong(cls, parameter: str | None, labels: Sequence[str] | None = None) -> str:
        """Returns what is wrong with a parameter, or ''."""
        if parameter in (None, "micro", "class") or labels is None or parameter in labels:
            return ""
        return f"there is no label {parameter!r}: {', '.join(labels[:20])}"

    def reset(self) -> None:
        """Forgets all rows."""
        self.counts: torch.Tensor | None = None
        """(3, num_labels) int64: both, predicted, labelled."""

    def update(self, predictions: torch.Tensor, labels: torch.Tensor) -> None:
        """Counts a batch of the kind `classes`, `ids` or `multilabel`.

        Args:
            predictions: probabilities (n, num_labels), or ids (n,).
            labels: ids (n,), or 0 and 1 (n, num_labels).
        """
        import torch

        if labels.ndim == 2:
            found, right = predictions >= THRESHOLD, labels > 0
        else:
            ids, width = predicted_ids(predictions), len(self.labels) or predictions.shape[-1]
            found = torch.nn.functional.one_hot(ids, width).bool()
            right = torch.nn.functional.one_hot(labels, width).bool()
        counts = torch.stack([(found & right).sum(0), found.sum(0), right.sum(0)])
        self.counts = counts if self.counts is None else self.counts + counts

    def compute(self) -> float | dict[str, float]:
        """Returns the figure from 0 to 1, or label -> figure.

        Raises:
            ValueError: there were no rows.
        """
        require_rows(0 if self.counts is None else 1)
        assert self.counts is not None
        both, found, right = self.counts.cpu().double()
        if self.parameter == "micro":
            return float(self.figures(both.sum(), found.sum(), right.sum()))
        figures = self.figures(both, found, right)
        if self.parameter == "class":
            return dict(zip(self.labels, figures.tolist(), strict=True))
        if self.parameter is not None:
            return float(figures[self.labels.index(self.parameter)])
        occurs = self.occurs(found, right)
        return float(figures[occurs].mean()) if bool(occurs.any()) else 0.0

    def figures(self, both: torch.Tensor, found: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Returns the figure of each label.

        Args:
            both: (num_labels,) fp64, rows that have the label and are predicted to have it; () for @micro.
            found: of the same shape, rows predicted to have it.
            right: of the same shape, rows that have it.
        """
        raise NotImplementedError

    def occurs(self, found: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Returns which labels the mean is over, (num_labels,) bool: those labelled or predicted anywhere, as in scikit-learn."""
        return found + right > 0


class ConfusionMatrix(Metric):
    """Counts of (label, prediction) pairs."""

    kinds = ("classes", "ids")

    def reset(self) -> None:
        """Forgets all rows."""
        self.counts: torch.Tensor | None = None
        """(num_labels, num_labels) int64: row = label, column = prediction."""

    def update(self, predictions: torch.Tensor, labels: torch.Tensor) -> None:
        """Counts a batch of the kind `classes` or `ids`; of equal probabilities the first is the prediction.

        Args:
            predictions: probabilities (n, num_labels), or ids (n,).
            labels: ids (n,).
        """
        width = len(self.labels) or predictions.shape[-1]
        pairs = labels * width + predicted_ids(predictions)
        counts = pairs.bincount(minlength=width * width).view(width, width)
        self.counts = counts if self.counts is None else self.counts + counts

    def counted(self) -> torch.Tensor:
        """Returns the counts, (num_labels, num_labels) fp64 on the CPU: row = label, column = prediction.

        Raises:
            ValueError: nothing was counted.
        """
        require_rows(0 if self.counts is None else int(self.counts.sum()))
        assert self.counts is not None
        return self.counts.cpu().double()


class Mean(Metric):
    """The mean over rows of a figure that each row has by itself."""

    def reset(self) -> None:
        """Forgets all rows."""
        self.sum: torch.Tensor | None = None
        self.rows = 0

    def update(self, predictions: torch.Tensor, labels: torch.Tensor) -> None:
        """Adds a batch of n rows, in the shapes of one of the metric's kinds (see `ftcli/metric/__init__.py`)."""
        figures = self.figures(predictions, labels)
        # MPS has no fp64.
        total = figures.double().sum() if figures.device.type != "mps" else figures.sum()
        self.sum = total if self.sum is None else self.sum + total
        self.rows += figures.numel()

    def figures(self, predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns the figure of each row (or target), (n,) or (n, num_labels)."""
        raise NotImplementedError

    def compute(self) -> float:
        """Returns the mean.

        Raises:
            ValueError: there were no rows.
        """
        require_rows(self.rows)
        assert self.sum is not None
        return float(self.sum) / self.rows


def predicted_ids(predictions: torch.Tensor) -> torch.Tensor:
    """Returns the ids of the most probable labels, (n,) int64: (n, num_labels) probabilities, or ids (n,) as they are."""
    return predictions.argmax(-1) if predictions.ndim == 2 else predictions


def rank(probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Returns the place of the label among the probabilities, (n,) int64, 0 for the highest.

    Of equal probabilities the earlier one stands first, as in argmax.

    Args:
        probabilities: (n, num_choices).
        labels: (n,) int64, the place of the right one.
    """
    import torch

    own = probabilities.gather(1, labels[:, None])
    earlier = torch.arange(probabilities.shape[1], device=labels.device)[None, :] < labels[:, None]
    return ((probabilities > own) | ((probabilities == own) & earlier)).sum(1)


class TopK(Mean):
    """A figure of the place that the right one has among the k most probable."""

    kinds = ("ranking", "classes")
    takes = "a whole number of at least 1, such as @3"

    @classmethod
    def wrong(cls, parameter: str | None, labels: Sequence[str] | None = None) -> str:
        """Returns what is wrong with a parameter, or ''."""
        if parameter is not None and parameter.isdecimal() and int(parameter) >= 1:
            return ""
        return f"{cls.__name__} needs its k" if parameter is None else f"{parameter!r} is no k"

    @property
    def k(self) -> int:
        """How many of the most probable count."""
        return int(self.parameter or 1)
