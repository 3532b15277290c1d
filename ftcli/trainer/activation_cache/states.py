"""Activations of a table's sequences at one boundary: flat, without padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ftcli.batching.token_table import TokenTable

BLOCK_ROWS = 32
"""Rows a forward pass of a fill. Part of the key, for padding decides the last bits."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a sequence is stored at a boundary."""

    stored: str
    """`all` places, the `first` or the `last` one, or the output of the base model's pooler: `pooled`."""
    hidden: int
    dtype: torch.dtype
    places: int | None = None
    """Places of every sequence, where the table does not say: the patches of an image and what joins them."""

    def lengths(self, table: TokenTable) -> np.ndarray:
        """(num_sequences,) int64: places of each sequence; an empty one is a single attended PAD."""
        if self.places is not None:
            return np.full(len(table.offsets) - 1, self.places, dtype=np.int64)
        return np.maximum(1, np.diff(table.offsets))

    def counts(self, table: TokenTable) -> np.ndarray:
        """(num_sequences,) int64: vectors stored of each sequence."""
        lengths = self.lengths(table)
        return lengths if self.stored == "all" else np.ones_like(lengths)

    def num_bytes(self, table: TokenTable) -> int:
        return int(self.counts(table).sum()) * self.hidden * self.dtype.itemsize


class States:
    """Reads and writes the vectors of sequences.

    Args:
        flat: (num_vectors, hidden), sequence after sequence.
        shape: what is stored.
        table: the sequences; rows must be padded on the right.
    """

    def __init__(self, flat: torch.Tensor, shape: Shape, table: TokenTable) -> None:
        self.flat, self.shape = flat, shape
        self.lengths = shape.lengths(table)
        counts = shape.counts(table)
        self.starts = np.cumsum(counts) - counts

    def put(self, sequences: np.ndarray, caught: dict[str, torch.Tensor]) -> None:
        """Stores what a forward pass of some sequences gave.

        Args:
            sequences: (num_sequences,) their numbers.
            caught: `states`, (num_sequences, seq_len, hidden), and of the whole base model `pooled`,
                (num_sequences, hidden).
        """
        if self.shape.stored == "pooled":
            self.flat[torch.from_numpy(sequences)] = caught["pooled"].cpu()
            return
        states = caught["states"]
        source, target = self._places(sequences, states.shape[1])
        found = states.reshape(-1, states.shape[-1]).index_select(0, target.to(states.device))
        self.flat[source] = found.cpu()

    def take(self, sequences: np.ndarray, width: int, device: str) -> torch.Tensor:
        """Returns states as a batch holds them: (num_sequences, hidden) where pooled, else
        (num_sequences, seq_len, hidden), 0 at padding and at places that are not stored.

        Args:
            sequences: (num_sequences,) their numbers.
            width: seq_len.
            device: where the tensor goes.
        """
        if self.shape.stored == "pooled":
            return self.flat.index_select(0, torch.from_numpy(sequences)).to(device)
        source, target = self._places(sequences, width)
        found = self.flat.index_select(0, source).to(device)
        if len(found) == len(sequences) * width:
            return found.view(len(sequences), width, -1)
        out = found.new_zeros((len(sequences) * width, self.shape.hidden))
        return out.index_copy_(0, target.to(device), found).view(len(sequences), width, -1)

    def _places(self, sequences: np.ndarray, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns for each vector its number in `flat` and its place in the flattened batch."""
        lengths, starts = self.lengths[sequences], self.starts[sequences]
        corners = np.arange(len(sequences)) * width
        if self.shape.stored != "all":
            corners = corners + (lengths - 1 if self.shape.stored == "last" else 0)
            return torch.from_numpy(starts), torch.from_numpy(corners)
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        source, target = np.repeat(starts, lengths) + within, np.repeat(corners, lengths) + within
        return torch.from_numpy(source), torch.from_numpy(target)


def canonical_blocks(table: TokenTable) -> list[np.ndarray]:
    """Returns the row numbers of each block of a fill, (block,): sorted by (longest sequence, row).

    They depend on the table alone, so a row's bytes do not depend on which batch asked for it.
    """
    widths = table.lengths
    if table.groups is not None and len(widths):
        widths = np.maximum.reduceat(np.diff(table.offsets), table.groups[:-1])
    rows = np.argsort(widths, kind="stable")
    return [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]


def empty_states(shape: Shape, table: TokenTable) -> States:
    """Returns states in memory, (num_vectors, hidden), to be filled."""
    rows = int(shape.counts(table).sum())
    return States(torch.empty((rows, shape.hidden), dtype=shape.dtype), shape, table)
