"""Answers as they stand in a file -> spans of characters of the context, checked, and as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ftcli.batching.cells import TWICE, TwiceError, structure_in
from ftcli.batching.rows import Rows
from ftcli.errors import DataError, Problem

Span = tuple[int, int]
"""First character of the context, and the one after the last."""
NO_ANSWER = (-1, -1)

FORMS = '{"text": [...], "answer_start": [...]}, or a list of {"text": ..., "answer_start": ...}; empty where there is none'


def read_answers(rows: Rows, column: str, context_column: str) -> list[list[Span]]:
    """Returns the right answers of each row; none for a question without an answer.

    Args:
        rows: of one part.
        column: of the answers.
        context_column: of the texts they are cut out of.

    Raises:
        DataError: answers in no known form, or one that does not stand at its answer_start; named with its line.
    """
    contexts = rows.columns[context_column]
    return [
        [_span(text, start, contexts[row], rows, row) for text, start in _pairs(value, rows, row)]
        for row, value in enumerate(rows.columns[column])
    ]


def _pairs(value: Any, rows: Rows, row: int) -> list[tuple[Any, Any]]:
    """Returns (text, answer_start) of each answer."""
    if isinstance(value, str):  # csv and tsv have no objects: their text in their place
        try:
            found = structure_in(value)
        except TwiceError as error:
            raise DataError(Problem(rows.where(row), f"the answers: {error}", TWICE)) from error
        if found is None:
            raise _formless(value, rows, row)
        value = found
    if value is None:
        hint = "a question without an answer has an empty list"
        raise DataError(Problem(rows.where(row), "the answers are missing", hint))
    if isinstance(value, dict) and value:
        texts, starts = value.get("text"), value.get("answer_start")
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            return list(zip(texts, starts, strict=True))
        return [(texts, starts)] if isinstance(texts, str) else _refuse(value, rows, row)
    if isinstance(value, list | dict) and all(isinstance(one, dict) for one in value):
        return [(one.get("text"), one.get("answer_start")) for one in value]
    return _refuse(value, rows, row)


def _refuse(value: Any, rows: Rows, row: int) -> list[tuple[Any, Any]]:
    raise _formless(value, rows, row)


def _formless(value: Any, rows: Rows, row: int) -> DataError:
    return DataError(Problem(rows.where(row), f"the answers are {value!r:.120}", f"expected {FORMS}"))


def _span(text: Any, start: Any, context: str, rows: Rows, row: int) -> Span:
    if not isinstance(text, str) or not text.strip() or not isinstance(start, int) or isinstance(start, bool):
        raise _formless([{"text": text, "answer_start": start}], rows, row)
    if start >= 0 and context.startswith(text, start):
        return start, start + len(text)
    there = context[max(start, 0) : max(start, 0) + len(text)]
    message = f"the answer {text!r:.80} does not stand at character {start} of the context; there stands {there!r:.80}"
    raise DataError(Problem(rows.where(row), message, _found(text, context)))


def _found(text: str, context: str) -> str:
    """Says where else the text stands; a file that counts bytes or code units is off by a few."""
    places: list[str] = []
    place = context.find(text)
    while place >= 0 and len(places) < 4:
        places.append(str(place))
        place = context.find(text, place + 1)
    if not places:
        return "the context does not hold this text: an answer is cut out of it, character by character"
    return f"it stands at {' and '.join(places)}: answer_start counts characters from 0"


def firsts(answers: list[list[Span]]) -> np.ndarray:
    """Returns the first answer of each row, (num_rows, 2) int32."""
    found = [spans[0] if spans else NO_ANSWER for spans in answers]
    return np.array(found, dtype=np.int32).reshape(-1, 2)


def stored(contexts: list[str], answers: list[list[Span]]) -> dict[str, np.ndarray]:
    """Returns answers and contexts as arrays; a context that many questions share is held once.

    Args:
        contexts: of each row.
        answers: the right ones of each row.

    Returns:
        `answers` (num_answers, 2) int32 with `answer_ends` (num_rows + 1,) int64; `contexts` (num_bytes,) uint8, the
        distinct ones in UTF-8, with `context_ends` (num_contexts + 1,) int64; `context` (num_rows,) int32, the number
        of each row's.
    """
    numbers = {text: number for number, text in enumerate(dict.fromkeys(contexts))}
    texts = [text.encode() for text in numbers]
    return {
        "answers": np.array([span for spans in answers for span in spans], dtype=np.int32).reshape(-1, 2),
        "answer_ends": np.cumsum([0, *map(len, answers)], dtype=np.int64),
        "contexts": np.frombuffer(b"".join(texts), dtype=np.uint8),
        "context_ends": np.cumsum([0, *map(len, texts)], dtype=np.int64),
        "context": np.array([numbers[text] for text in contexts], dtype=np.int32),
    }


def taken(extras: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns answers and contexts of some rows, end to end.

    Args:
        extras: of `stored`.
        rows: (batch,) row numbers.

    Returns:
        `answers` (num_answers, 2), `num_answers` (batch,), `contexts` (num_bytes,), `num_bytes` (batch,).
    """
    found = {}
    own = (("answers", "num_answers", "answer_ends", rows), ("contexts", "num_bytes", "context_ends", extras["context"][rows]))  # fmt: skip
    for name, count, ends, numbers in own:
        bounds = extras[ends][np.stack([numbers, numbers + 1])].T
        found[name] = np.concatenate([extras[name][slice(*pair)] for pair in bounds])
        found[count] = bounds[:, 1] - bounds[:, 0]
    return found
