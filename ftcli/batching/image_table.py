"""Images of one size in a flat array: a table that batching and the cache treat as they treat tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ftcli.batching.token_table import TokenTable
from ftcli.errors import DataError

FACTS = ("shape", "patches", "scale", "mean", "std")
"""Extras that every table of images has."""


@dataclass(slots=True)
class ImageTable(TokenTable):
    """Images that are already resized: `ids` holds (height, width, channels) uint8 each, end to end.

    Extras: `shape` (3,) int64, the size of an image; `patches` (1,) int64, what counts as its length;
    `scale` (1,), `mean` and `std` (channels,) float64, which `values` applies.
    """

    unit: ClassVar[str] = "pixels"

    def __post_init__(self) -> None:
        rows = len(self.offsets) - 1
        self.lengths = np.full(rows, int(self.extras["patches"][0]), dtype=np.int64)

    @classmethod
    def of(
        cls,
        pixels: np.ndarray,
        *,
        patches: int,
        scale: float,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> ImageTable:
        """Returns a table of images.

        Args:
            pixels: (num_rows, height, width, channels) uint8.
            patches: what counts as the length of an image.
            scale: factor of the pixels, such as 1 / 255.
            mean: (channels,), subtracted after scaling.
            std: (channels,), divided by afterwards.
        """
        size = int(np.prod(pixels.shape[1:]))
        extras = {
            "shape": np.array(pixels.shape[1:], dtype=np.int64),
            "patches": np.array([patches], dtype=np.int64),
            "scale": np.array([scale], dtype=np.float64),
            "mean": np.array(mean, dtype=np.float64),
            "std": np.array(std, dtype=np.float64),
        }
        return cls(pixels.reshape(-1), np.arange(len(pixels) + 1, dtype=np.int64) * size, extras=extras)

    @property
    def longest(self) -> int:
        """Patches of an image."""
        return int(self.lengths.max(initial=0))

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Returns normalised images: (pixel * scale - mean) / std.

        Args:
            rows: (batch,) row numbers.

        Returns:
            (batch, channels, height, width) fp32.
        """
        pixels = self.ids.reshape(len(self), *self.extras["shape"])[rows]
        facts = (self.extras[name].astype(np.float32) for name in ("scale", "mean", "std"))
        scale, mean, std = facts
        values = (pixels.astype(np.float32) * scale - mean) / std
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))

    def _check(self, file: Path) -> None:
        rows = len(self.lengths)
        size = int(np.prod(self.extras["shape"]))
        fits = self.ids.dtype == np.uint8 and self.ids.shape == (rows * size,)
        fits &= np.array_equal(self.offsets, np.arange(rows + 1) * size)
        fits &= self.labels is None or len(self.labels) == rows
        if not fits or set(self.extras) != set(FACTS) or self.groups is not None:
            raise DataError(f"{file} is not a table of images: its arrays do not fit together")
