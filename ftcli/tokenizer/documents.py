"""Whole texts -> tokens, for tasks that cut them themselves: nothing is added, nothing is lost."""

from __future__ import annotations

from typing import Any

import numpy as np

CHUNK = 1024
"""Texts encoded at a time; bounds the memory of the Rust encodings."""


def byte_ends(text: str, ends: np.ndarray) -> np.ndarray:
    """Returns the bytes of a text, as UTF-8, up to the end of each token, (length,) int64, non-decreasing.

    A token that holds a part of a character counts with the whole of it, as its offsets say.

    Args:
        text: what was encoded.
        ends: (length,) the character after the last one of each token.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    widths = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    before = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    found = before[np.minimum(ends, len(codes))]
    if len(found):
        found[-1] = before[-1]  # white space at the end that a normalizer takes away is of the text too
    return np.asarray(np.maximum.accumulate(found))


def written_before(rust: Any) -> list[int]:
    """Returns the special tokens that a tokenizer (tokenizers.Tokenizer) writes before a text."""
    encoding = rust.encode("a")
    ordinary = np.flatnonzero(~np.array(encoding.special_tokens_mask, dtype=bool))
    return [int(i) for i in encoding.ids[: ordinary[0]]] if len(ordinary) else []
