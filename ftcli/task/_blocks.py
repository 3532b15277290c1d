"""Documents of any length -> blocks that fit the model, in which every token is a target exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Document:
    """A text as a language model reads it."""

    ids: np.ndarray
    """(length,) int32, with what begins and ends it."""
    ends: np.ndarray
    """(length,) int64, non-decreasing: bytes of the text up to the end of each token; the last one is all of them"""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of all documents, end to end."""

    ids: np.ndarray
    """(num_tokens,) int32"""
    offsets: np.ndarray
    """(num_blocks + 1,) int64"""
    labels: np.ndarray
    """(num_tokens,) uint8, 1 for a target: all but the first token of a block"""
    source: np.ndarray
    """(num_blocks,) int64: number of the document"""
    num_bytes: np.ndarray
    """(num_blocks,) int64: bytes of text that the block's targets stand for; over the blocks of a document all of its bytes, but those
    of its first token where nothing stands before that"""


def cut(documents: Sequence[Document], limit: int) -> Blocks:
    """Cuts documents into blocks of at most `limit` tokens; none holds tokens of two documents.

    A block begins with the last token of the block before it, which is given and not predicted. So the first token of a document is
    the only one that is never a target.

    Args:
        documents: each with one token at least.
        limit: most tokens of a block, two at least.
    """
    ids: list[np.ndarray] = []
    source: list[int] = []
    num_bytes: list[int] = []
    for number, document in enumerate(documents):
        length, seen = len(document.ids), int(document.ends[0])
        for start in range(0, max(length - 1, 1), limit - 1):
            stop = min(start + limit, length)
            ids.append(document.ids[start:stop])
            source.append(number)
            reached = int(document.ends[stop - 1])
            num_bytes.append(reached - seen)
            seen = reached
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    labels = np.ones(offsets[-1], dtype=np.uint8)
    labels[offsets[:-1]] = 0
    flat = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
    return Blocks(flat, offsets, labels, np.array(source, np.int64), np.array(num_bytes, np.int64))
