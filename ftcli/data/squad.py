"""SQuAD's own files: articles of paragraphs of questions -> a row a question.

    {"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}

Versions 1.1 and 2.0 (Rajpurkar et al., 2016, arXiv:1606.05250, and 2018, arXiv:1806.03822).
"""

from __future__ import annotations

from typing import Any

from ftcli.data.content import Content, kind_of
from ftcli.errors import DataError, Problem

COLUMNS = ("id", "title", "context", "question", "answers")


def flattened(value: Any, origin: str) -> Content:
    """Returns the columns id, title, context, question and answers.

    The answers are a list of objects, empty for an unanswerable question, None where a file has none.

    Raises:
        DataError: an object lacks a list or text that SQuAD's have; named by its path.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for a, article in enumerate(_listed(value, "data", "", origin)):
        place = f"data[{a}]"
        for p, paragraph in enumerate(_listed(article, "paragraphs", place, origin)):
            inner = f"{place}.paragraphs[{p}]"
            context = _text(paragraph, "context", inner, origin)
            for q, question in enumerate(_listed(paragraph, "qas", inner, origin)):
                asked = _text(question, "question", f"{inner}.qas[{q}]", origin)
                row = (question.get("id"), article.get("title"), context, asked, question.get("answers"))
                for name, cell in zip(COLUMNS, row, strict=True):
                    columns[name].append(cell)
    return Content(columns)


def _listed(value: Any, key: str, place: str, origin: str) -> list[Any]:
    found = _member(value, key, place, origin)
    if not isinstance(found, list):
        raise _unlike(key, place, origin, f"holds {kind_of(found)}", "a list")
    return found


def _text(value: Any, key: str, place: str, origin: str) -> str:
    found = _member(value, key, place, origin)
    if not isinstance(found, str):
        raise _unlike(key, place, origin, f"holds {kind_of(found)}", "text")
    return found


def _member(value: Any, key: str, place: str, origin: str) -> Any:
    if not isinstance(value, dict):
        where = f"{origin}, {place}" if place else origin
        raise DataError(Problem(where, f"holds {kind_of(value)}", f"expected an object with the key {key!r}"))
    return value.get(key)


def _unlike(key: str, place: str, origin: str, message: str, expected: str) -> DataError:
    path = f"{place}.{key}" if place else key
    return DataError(Problem(f"{origin}, {path}", message, f"expected {expected}, as in files of SQuAD"))
