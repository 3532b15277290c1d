"""Metrics of ranks need all scores at once: they wait in a temporary file, and come back a column at a time."""

from __future__ import annotations

import tempfile
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.metric import Metric, require_rows

if TYPE_CHECKING:
    import torch


class Columns(Metric):
    """Writes each batch to a file; a figure reads one score and one label column, at most 16 bytes a row."""

    def reset(self) -> None:
        """Forgets all rows."""
        if getattr(self, "file", None) is not None:
            self.file.close()
        self.file: Any = None
        self.rows = 0

    def update(self, predictions: torch.Tensor, labels: torch.Tensor) -> None:
        """Writes a batch: predictions (n,) or (n, width), labels (n,) or (n, width)."""
        scores, right = (_matrix(tensor) for tensor in (predictions, labels))
        if self.file is None:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the metric
            self.widths = scores.shape[1], right.shape[1]
            weakref.finalize(self, self.file.close)
        self.file.write(np.concatenate([scores, right], axis=1).tobytes())
        self.rows += len(scores)

    @property
    def width(self) -> int:
        """Columns of scores.

        Raises:
            ValueError: there were no rows.
        """
        require_rows(self.rows)
        return self.widths[0]

    def column(self, score: int, label: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Returns (scores, labels) of one column each, (num_rows,) fp64 views of the file."""
        self.file.flush()
        table = np.memmap(self.file, dtype=np.float64, mode="r", shape=(self.rows, sum(self.widths)))
        return np.array(table[:, score]), np.array(table[:, self.widths[0] + label])


def _matrix(tensor: torch.Tensor) -> np.ndarray:
    values = tensor.detach().cpu().double().numpy()
    return values[:, None] if values.ndim == 1 else values
