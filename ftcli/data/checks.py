"""Checks of columns and texts; a problem names the configuration key that would solve it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftcli.batching.rows import Field, Kind, Rows
from ftcli.config.shell_word import shell_word
from ftcli.data.content import kind_of
from ftcli.data.delimited import NAMED
from ftcli.data.headers import likely_columns, names_for, without_header
from ftcli.errors import DataError, Problem, nearest

CHUNK = 65_536


def check_columns(rows: Rows, fields: Sequence[Field], *, needs_label: bool) -> None:
    """Checks that the columns a task reads exist, and that a first row is not taken for their names.

    Args:
        rows: of one part.
        fields: what the task reads.
        needs_label: whether the column of the label must be there too.

    Raises:
        DataError: one problem a missing column, or one for a file without a header.
    """
    lost = [f for f in fields if f.column not in rows.columns and (needs_label or not f.is_label)]
    wanted = [field for field in fields if needs_label or not field.is_label]
    if rows.headed and without_header(rows, [] if lost else [f.column for f in fields]):
        names = names_for(rows, wanted)
        message = f"{rows.origin} seems to have no header: its first line is {', '.join(_held(rows))[:120]!r}"
        raise DataError(Problem("data.header", message, f"type {shell_word('data.header', names)}"))
    if lost:
        used = {f.column for f in fields}
        free = [column for column in rows.columns if column and column not in used]
        likely = likely_columns(rows, lost, free)
        raise DataError(*(_missing(rows, field, fields, likely.get(field.column)) for field in lost))


def _held(rows: Rows) -> list[str]:
    """Returns the names of the columns that a file has, as they stand there."""
    names = [column for column in rows.columns if column not in rows.derived]
    return ["" if name in rows.without_name else name for name in names]


def _missing(rows: Rows, field: Field, fields: Sequence[Field], likely: str | None) -> Problem:
    held = [name for name in _held(rows) if name]
    shown = ", ".join(name if name == name.strip() else repr(name) for name in held[:12])
    message = f"{rows.origin} has no column {field.column!r}; it has {shown}{', ...' * (len(held) > 12)}"
    key = f"data.columns.{field.key}"
    alike = [one.column for one in fields if one.key == field.key]
    signs = [name for name, sign in NAMED.items() if sign != " " and len(held) == 1 and sign in held[0]]
    if rows.origin.endswith(".txt") and rows.columns.keys() <= {fields[0].column}:
        hint = "a .txt file is read as a text a line: type data.format=conll, tsv or csv"
    elif rows.headed and signs:
        hint = f"its columns seem to be separated otherwise: type data.separator={signs[0]}"
    else:
        stripped = [name for name in held if name.strip().casefold() == field.column.strip().casefold()]
        near = stripped or nearest(field.column, held, 1) or [likely or "NAME"]
        if field.key == "label" and len(alike) > 1:
            key = "task.label_columns"
        listed = len(alike) > 1 or field.key == "choices"
        value = [near[0] if name == field.column else name for name in alike] if listed else near[0]
        hint = f"type {shell_word(key, value)}"
        hint += " with the name of its column" if near == ["NAME"] else ""
    return Problem(key, message, hint)


def check_texts(rows: Rows, fields: Sequence[Field]) -> str:
    """Checks that every text is text and returns a line on the empty ones, '' when there are none.

    Raises:
        DataError: a value that is no text (or no list of texts), or text that has no UTF-8 form; named
            with its line.
    """
    empty: set[int] = set()
    for field in fields:
        if field.is_label:
            continue
        column = rows.columns[field.column]
        if _all_text(column):
            empty.update(row for row, text in enumerate(column) if not text or text.isspace())
            continue
        for row, value in enumerate(column):
            texts = value if field.kind is Kind.texts and isinstance(value, list) else [value]
            for text in texts:
                _check_text(text, field, rows, row)
            if not texts or all(not text or text.isspace() for text in texts):
                empty.add(row)
    if not empty:
        return ""
    return f"{len(empty):,} of {len(rows):,} rows have an empty text, the first at {rows.where(min(empty))}"


def _all_text(column: Sequence[Any]) -> bool:
    """Whether all values are text that has a UTF-8 form: looked at together, for there may be millions."""
    try:
        for start in range(0, len(column), CHUNK):
            "".join(column[start : start + CHUNK]).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _check_text(text: Any, field: Field, rows: Rows, row: int) -> None:
    if not isinstance(text, str):
        message = f"the column {field.column!r} holds {kind_of(text)}"
        expected = "expected text" if field.kind is Kind.text else "expected a list of texts"
        raise DataError(Problem(rows.where(row), message, expected))
    if not _has_utf8(text):
        message = f"the column {field.column!r} holds half of a surrogate pair, which is no character"
        raise DataError(Problem(rows.where(row), message, "write the text as plain UTF-8"))


def _has_utf8(text: str) -> bool:
    # Only JSON's \ud800 escapes make such text; tokenizers would fail on it without a line.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
