"""Figures of numbers by the sums of torchmetrics, in fp64."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from ftcli.metric import Metric, require_rows

if TYPE_CHECKING:
    import torch


class Sums(Metric):
    """A metric of torchmetrics that keeps sums only; subclasses name its class."""

    kinds = ("values",)
    name = ""

    def reset(self) -> None:
        """Forgets all rows."""
        self.inner: Any = None

    def update(self, predictions: torch.Tensor, labels: torch.Tensor) -> None:
        """Adds a batch of the kind `values`: numbers (n,) and numbers (n,)."""
        import torch
        import torchmetrics.regression as library

        if self.inner is None:
            kind = torch.float32 if predictions.device.type == "mps" else torch.float64
            self.inner = getattr(library, self.name)().set_dtype(kind).to(predictions.device)
            self.dtype, self.rows = kind, 0
        self.inner.update(predictions.to(self.dtype), labels.to(self.dtype))
        self.rows += len(labels)

    def compute(self) -> float:
        """Returns the figure; NaN where it has no value, such as a correlation of one row.

        Raises:
            ValueError: there were no rows.
        """
        require_rows(0 if self.inner is None else self.rows)
        if self.rows == 1 and self.name != "MeanSquaredError":
            return math.nan
        with warnings.catch_warnings():
            # A correlation with numbers that are all equal is NaN, which the evaluation says in its own words.
            warnings.simplefilter("ignore", UserWarning)
            return float(self.inner.compute())
