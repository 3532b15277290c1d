"""Sequences of a table -> rectangular arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ftcli.batching.token_table import TokenTable


@dataclass(slots=True)
class Padded:
    """Some sequences side by side, filled up to the longest.

    A sequence without any token (an empty text under a tokenizer without special tokens) becomes one
    attended PAD token: attention over nothing is NaN in some kernels.
    """

    arrays: dict[str, np.ndarray]
    """`input_ids`, `attention_mask` and, where the table has them, `token_type_ids`: (num_sequences, width) int64"""
    filled: np.ndarray
    """(num_sequences, width) bool: where a token of the table stands"""
    source: np.ndarray
    """(num_filled,) int64: which token of the table stands there"""

    def spread(self, flat: np.ndarray, fill: int) -> np.ndarray:
        """Returns (num_sequences, width) int64 of a value a token, `fill` where there is none."""
        padded = np.full(self.filled.shape, fill, dtype=np.int64)
        padded[self.filled] = flat[self.source]
        return padded


def pad(
    table: TokenTable,
    sequences: np.ndarray,
    *,
    pad_id: int,
    padding_side: str,
    pad_to_multiple: int | None = None,
) -> Padded:
    """Pads sequences of a table to the longest of them.

    Args:
        table: where they stand.
        sequences: (num_sequences,) their numbers.
        pad_id: fills `input_ids`.
        padding_side: `right` or `left`.
        pad_to_multiple: widens the batch to a multiple; the caller minds the model's positions.
    """
    starts = table.offsets[sequences]
    lengths = table.offsets[sequences + 1] - starts
    width = max(1, int(lengths.max()))
    if pad_to_multiple:
        width = -(-width // pad_to_multiple) * pad_to_multiple
    place = np.arange(width)[None, :]
    if padding_side == "left":
        place = place - (width - lengths)[:, None]
    filled = (place >= 0) & (place < lengths[:, None])
    padded = Padded({}, filled, (starts[:, None] + place)[filled])
    attended = filled.astype(np.int64)
    attended[lengths == 0, 0 if padding_side == "right" else -1] = 1
    padded.arrays = {"input_ids": padded.spread(table.ids, pad_id), "attention_mask": attended}
    if table.token_types is not None:
        padded.arrays["token_type_ids"] = padded.spread(table.token_types, 0)
    return padded
