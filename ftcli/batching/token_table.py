"""Tokenized rows in flat arrays with offsets: no object per row, no padding, one file.

A row is one sequence of tokens, or (with `groups`) several, such as the choices of a question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from ftcli.errors import DataError

EXTRA = "extra."
"""Stands before the name of an extra array in a file."""


@dataclass(slots=True)
class TokenTable:
    """Token ids of all sequences, end to end; sequence i is `ids[offsets[i]:offsets[i + 1]]`."""

    unit: ClassVar[str] = "tokens"
    """What the table holds, as messages name it."""
    ids: np.ndarray
    """(num_tokens,) int32"""
    offsets: np.ndarray
    """(num_sequences + 1,) int64, from 0 to num_tokens"""
    token_types: np.ndarray | None = None
    """(num_tokens,) uint8, where the model reads which text of a pair a token is of"""
    labels: np.ndarray | None = None
    """(num_rows,) or (num_rows, num_labels), or (num_tokens,) for a label a token; (num_tokens,) uint8 marks the tokens
    that a language model learns; None where there are none"""
    groups: np.ndarray | None = None
    """(num_rows + 1,) int64: row i is the sequences from groups[i] to groups[i + 1]. None: row i is sequence i"""
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    """Arrays of a task's own, by name"""
    num_truncated: int = 0
    """Rows that lost tokens to the length limit."""
    num_tokens_cut: int = 0
    """Tokens they lost."""
    lengths: np.ndarray = field(init=False, repr=False)
    """(num_rows,) int64, tokens a row"""

    def __post_init__(self) -> None:
        self.lengths = np.diff(self.offsets if self.groups is None else self.offsets[self.groups])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return int(np.diff(self.offsets).max(initial=0))

    @property
    def marks_targets(self) -> bool:
        """Whether labels say which tokens are learned, and the tokens themselves are what is learned."""
        return self.labels is not None and self.labels.dtype == np.uint8

    @property
    def cut_rows(self) -> np.ndarray:
        """(num_rows,) bool: rows that lost tokens to the length limit."""
        cut = self.extras.get("cut")
        if cut is None:
            return np.zeros(len(self), dtype=bool)
        return cut > 0 if self.groups is None else np.add.reduceat(cut, self.groups[:-1]) > 0

    def row(self, i: int) -> np.ndarray:
        """Returns the token ids of row i, (length,) int32, a view."""
        first, last = (i, i + 1) if self.groups is None else self.groups[i : i + 2]
        return self.ids[self.offsets[first] : self.offsets[last]]

    def label(self, i: int) -> np.ndarray:
        """Returns the label of row i, () or (num_labels,), or those of its tokens, (length,)."""
        assert self.labels is not None
        if not self.marks_targets and (len(self.labels) == len(self) or self.groups is not None):
            return self.labels[i]
        return self.labels[self.offsets[i] : self.offsets[i + 1]]

    def sequences(self, rows: np.ndarray) -> np.ndarray:
        """Returns the sequences of some rows, (batch,) row numbers -> (num_sequences,) sequence numbers, in their order."""
        if self.groups is None:
            return rows
        spans = [np.arange(self.groups[row], self.groups[row + 1]) for row in rows]
        return np.concatenate(spans) if spans else rows

    def save(self, file: Path) -> None:
        """Writes the arrays as safetensors."""
        from safetensors.numpy import save

        counts = np.array([self.num_truncated, self.num_tokens_cut], dtype=np.int64)
        arrays = {"ids": self.ids, "offsets": self.offsets, "counts": counts}
        optional = {"token_types": self.token_types, "labels": self.labels, "groups": self.groups}
        optional |= {f"{EXTRA}{name}": array for name, array in self.extras.items()}
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
            own = {name: array for name, array in arrays.items() if not name.startswith(EXTRA)}
            extras = {name[len(EXTRA) :]: arrays[name] for name in arrays.keys() - own.keys()}
            table = cls(**own, extras=extras, num_truncated=truncated, num_tokens_cut=cut)
        except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
            raise DataError(f"{file} is not a token table: {error}") from error
        table._check(file)
        return table

    def _check(self, file: Path) -> None:
        rows, tokens, sequences = len(self.lengths), len(self.ids), len(self.offsets) - 1
        expected = [(self.ids, np.int32, tokens), (self.offsets, np.int64, sequences + 1)]
        expected += [(a, np.uint8, tokens) for a in (self.token_types,) if a is not None]
        expected += [(a, np.int64, rows + 1) for a in (self.groups,) if a is not None]
        fits = all(array.dtype == kind and array.shape == (size,) for array, kind, size in expected)
        fits &= self.labels is None or len(self.labels) in (
            (tokens,) if self.marks_targets else (rows, tokens)
        )
        fits &= self.groups is None or (self.groups[0], self.groups[-1]) == (0, sequences)
        if not fits or not len(self.offsets) or self.offsets[0] != 0 or self.offsets[-1] != tokens:
            raise DataError(f"{file} is not a token table: its arrays do not fit together")
        if (self.lengths < 0).any() or (tokens and self.ids.min() < 0):
            raise DataError(f"{file} is not a token table: negative lengths or token ids")
