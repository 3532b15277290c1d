"""Tokenised rows in flat arrays with offsets: no object per row, no padding, one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ftcli.errors import DataError


@dataclass(slots=True)
class TokenTable:
    """Token ids of all rows, end to end; row i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: np.ndarray
    """(num_tokens,) int32"""
    offsets: np.ndarray
    """(num_rows + 1,) int64, from 0 to num_tokens"""
    token_types: np.ndarray | None = None
    """(num_tokens,) uint8, where the model reads which text of a pair a token is of"""
    labels: np.ndarray | None = None
    """(num_rows,) int64, None where there are none"""
    num_truncated: int = 0
    """Rows that lost tokens to the length limit."""
    num_tokens_cut: int = 0
    """Tokens they lost."""
    lengths: np.ndarray = field(init=False, repr=False)
    """(num_rows,) int64, tokens a row"""

    def __post_init__(self) -> None:
        self.lengths = np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, i: int) -> np.ndarray:
        """Returns the token ids of row i, (length,) int32, a view."""
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def save(self, file: Path) -> None:
        """Writes the arrays as safetensors."""
        from safetensors.numpy import save

        counts = np.array([self.num_truncated, self.num_tokens_cut], dtype=np.int64)
        arrays = {"ids": self.ids, "offsets": self.offsets, "counts": counts}
        optional = {"token_types": self.token_types, "labels": self.labels}
        arrays |= {name: array for name, array in optional.items() if array is not None}
        file.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))

    @classmethod
    def load(cls, file: Path) -> TokenTable:
        """Reads what `save` wrote.

        Raises:
            DataError: not such a file, or arrays that do not fit together.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(file)
            truncated, cut = arrays.pop("counts").tolist()
            table = cls(**arrays, num_truncated=truncated, num_tokens_cut=cut)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{file} is not a token table: {error}") from error
        table._check(file)
        return table

    def _check(self, file: Path) -> None:
        rows, tokens = len(self.lengths), len(self.ids)
        expected = [(self.ids, np.int32, tokens), (self.offsets, np.int64, rows + 1)]
        expected += [(a, np.uint8, tokens) for a in (self.token_types,) if a is not None]
        expected += [(a, np.int64, rows) for a in (self.labels,) if a is not None]
        fits = all(array.dtype == kind and array.shape == (size,) for array, kind, size in expected)
        if not fits or not len(self.offsets) or self.offsets[0] != 0 or self.offsets[-1] != tokens:
            raise DataError(f"{file} is not a token table: its arrays do not fit together")
        if (self.lengths < 0).any() or (tokens and self.ids.min() < 0):
            raise DataError(f"{file} is not a token table: negative lengths or token ids")


def concat(chunks: Sequence[TokenTable]) -> TokenTable:
    """Joins tables of consecutive rows; all have token types (labels) or none has."""
    ends = np.cumsum([0, *(len(chunk.ids) for chunk in chunks)])
    offsets = [chunk.offsets[:-1] + start for chunk, start in zip(chunks, ends, strict=False)]
    return TokenTable(
        ids=np.concatenate([chunk.ids for chunk in chunks]),
        offsets=np.concatenate([*offsets, ends[-1:]]).astype(np.int64),
        token_types=_joined([chunk.token_types for chunk in chunks]),
        labels=_joined([chunk.labels for chunk in chunks]),
        num_truncated=sum(chunk.num_truncated for chunk in chunks),
        num_tokens_cut=sum(chunk.num_tokens_cut for chunk in chunks),
    )


def _joined(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    present = [array for array in arrays if array is not None]
    assert len(present) in (0, len(arrays)), "chunks differ in what they hold"
    return np.concatenate(present) if present else None
