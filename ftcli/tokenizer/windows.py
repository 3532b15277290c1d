"""A question and a context of any length -> windows of the context, the question before each."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ftcli.batching.token_table import TokenTable
from ftcli.errors import DataError, Problem

CHUNK = 1024
"""Rows encoded at a time; bounds the memory of the Rust encodings."""
SPACES = np.array([chr(code).isspace() for code in range(0x10000)])
MARKS = np.array([unicodedata.category(chr(code)) == "Mn" for code in range(0x10000)])
"""By code: accents that stand behind their letter; tokenizers that strip them leave them out of their tokens."""


class PairTokenizer(Protocol):
    """What cutting into windows reads of a tokenizer (`ftcli.tokenizer.text.TextTokenizer`)."""

    @property
    def max_length(self) -> int:
        """Most tokens of a window."""

    @property
    def token_types(self) -> bool:
        """Whether the model reads which text of a pair a token is of."""

    def prepared(self) -> Any:
        """Returns the Rust tokenizer without truncation or padding."""

    def row_ids(self, encoding: Any) -> np.ndarray:
        """Returns the ids of an encoding, (length,) int32."""

    def require_room(self, num_special: int, num_texts: int) -> None:
        """Raises ConfigError where `max_length` is too short."""

    def require_known_ids(self, ids: np.ndarray) -> None:
        """Raises ConfigError for an id, (num_tokens,) int32, that the model does not have."""


@dataclass(slots=True)
class _Pair:
    """The tokens of a row before they are cut."""

    ids: np.ndarray
    """(length,) int32"""
    types: np.ndarray
    """(length,) uint8"""
    starts: np.ndarray
    """(length,) int32: first character of the context a token stands for; starts == ends where there is none"""
    ends: np.ndarray
    """(length,) int32: the character after its last one"""
    first: int
    """Number of the context's first token."""
    stop: int
    """Number of the token after its last one."""


def encode_windows(
    tokenizer: PairTokenizer,
    questions: list[str],
    contexts: list[str],
    *,
    step: int,
    spans: np.ndarray | None,
    where: Callable[[int], str],
) -> TokenTable:
    """Tokenizes pairs and cuts long contexts into windows (Devlin et al., 2018, run_squad.py).

    Every window is the whole question and a part of the context, as long as max_length allows. Departure:
    windows begin at most half of that part apart, so that they overlap however long the question is.

    Args:
        tokenizer: of the run.
        questions: one a row.
        contexts: one a row.
        step: tokens from the beginning of a window to that of the next one.
        spans: (num_rows, 2) first character of what is looked for in the context, and the one after its
            last; -1 where there is nothing. None: nothing is looked for.
        where: row number -> its place in the file.

    Returns:
        A table of one group of windows a row. Extras: `starts` and `ends` (num_tokens,) int32, the
        characters of the context a token stands for, without white space, equal for any other token; with
        spans, `positions` (num_windows, 2) int32, the first and last token of the span in its window, 0 and
        0 where the window does not hold all of it.

    Raises:
        DataError: a question that leaves less than a quarter of max_length to the context.
    """
    pieces: list[tuple[_Pair, np.ndarray]] = []
    positions: list[tuple[int, int]] = []
    groups = [0]
    for row, pair in enumerate(_pairs(tokenizer, questions, contexts)):
        cuts = _cuts(pair, tokenizer.max_length, step, where(row))
        around = np.arange(pair.first), np.arange(pair.stop, len(pair.ids))
        pieces += [(pair, np.concatenate([around[0], np.arange(*cut), around[1]])) for cut in cuts]
        if spans is not None:
            positions += _positions(pair, cuts, *spans[row].tolist())
        groups.append(len(pieces))
    ids = _joined([pair.ids[kept] for pair, kept in pieces], np.int32)
    tokenizer.require_known_ids(ids)
    extras = {name: _joined([getattr(pair, name)[kept] for pair, kept in pieces], np.int32) for name in ("starts", "ends")}  # fmt: skip
    if spans is not None:
        extras["positions"] = np.array(positions, dtype=np.int32).reshape(-1, 2)
    return TokenTable(
        ids=ids,
        offsets=np.cumsum([0, *(len(kept) for _, kept in pieces)], dtype=np.int64),
        token_types=_joined([pair.types[kept] for pair, kept in pieces], np.uint8)
        if tokenizer.token_types
        else None,
        groups=np.array(groups, dtype=np.int64),
        extras=extras,
    )


def _joined(arrays: list[np.ndarray], kind: Any) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=kind)


def _pairs(tokenizer: PairTokenizer, questions: list[str], contexts: list[str]) -> Iterator[_Pair]:
    rust = tokenizer.prepared()
    tokenizer.require_room(rust.num_special_tokens_to_add(True), 2)
    for start in range(0, len(questions), CHUNK):
        chunk = list(zip(questions[start : start + CHUNK], contexts[start : start + CHUNK], strict=True))
        for (_, context), encoding in zip(chunk, rust.encode_batch(chunk), strict=True):
            yield _pair(tokenizer, encoding, context)


def _pair(tokenizer: PairTokenizer, encoding: Any, context: str) -> _Pair:
    ids = tokenizer.row_ids(encoding)
    own = np.array([part == 1 for part in encoding.sequence_ids] or [False], dtype=bool)
    offsets = np.array(encoding.offsets or [(0, 0)], dtype=np.int32).reshape(-1, 2)
    offsets[~own] = 0
    starts, ends = _trimmed(offsets, context)
    types = np.array(encoding.type_ids or [0], dtype=np.uint8)
    found = np.flatnonzero(own)
    first, stop = (int(found[0]), int(found[-1]) + 1) if len(found) else (len(ids), len(ids))
    return _Pair(ids, types, starts, ends, first, stop)


def _trimmed(offsets: np.ndarray, context: str) -> tuple[np.ndarray, np.ndarray]:
    """Takes white space off both ends of each token, which many tokenizers count in, and adds its last letter's accents."""
    starts, ends = offsets[:, 0].copy(), offsets[:, 1].copy()
    if not context:
        return starts, ends
    codes = np.minimum(np.frombuffer(context.encode("utf-32-le"), dtype=np.uint32), 0xFFFF)
    is_space, is_mark = SPACES[codes], MARKS[codes]
    last = len(codes) - 1
    while (lead := (starts < ends) & is_space[np.minimum(starts, last)]).any():
        starts += lead
    while (trail := (starts < ends) & is_space[np.clip(ends - 1, 0, last)]).any():
        ends -= trail
    while (accent := (starts < ends) & (ends <= last) & is_mark[np.minimum(ends, last)]).any():
        ends += accent
    return starts, ends


def _cuts(pair: _Pair, max_length: int, step: int, where: str) -> list[tuple[int, int]]:
    """Returns the first token of each window's part of the context, and the one after its last."""
    length = pair.stop - pair.first
    others = len(pair.ids) - length
    room = max_length - others
    if length <= room:
        return [(pair.first, pair.stop)]
    if room < max(1, max_length // 4):
        message = f"the question takes {others} of {max_length} tokens; the context has {length}"
        hint = f"shorten the question, or type tokenizer.max_length={others + max(others, length // 2)}"
        raise DataError(Problem(where, message, hint))
    step = min(step, max(1, room // 2))
    begins = range(0, length - room + step, step)
    return [(pair.first + begin, pair.first + min(begin + room, length)) for begin in begins]


def _positions(pair: _Pair, cuts: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """Returns where in each window the first and the last token of a span stand, (0, 0) where it is cut."""
    real = np.flatnonzero(pair.ends > pair.starts)
    first = int(np.searchsorted(pair.ends[real], start, side="right"))
    last = int(np.searchsorted(pair.starts[real], end, side="left")) - 1
    if start < 0 or first > last:
        return [(0, 0)] * len(cuts)
    a, b = int(real[first]), int(real[last])
    return [
        (pair.first + a - begin, pair.first + b - begin) if begin <= a and b < stop else (0, 0)
        for begin, stop in cuts
    ]
