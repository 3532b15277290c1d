"""Checks of columns and texts, each named as the word that would change it."""

from __future__ import annotations

from ftcli.batching.rows import Rows
from ftcli.config import ColumnsConfig
from ftcli.data.reading import kind_of
from ftcli.errors import DataError, Problem, nearest


def check_columns(rows: Rows, columns: ColumnsConfig, *, needs_label: bool) -> None:
    """Checks that the configured columns exist.

    Raises:
        DataError: one problem a missing column.
    """
    wanted = {"text": columns.text, "text_pair": columns.text_pair}
    if needs_label:
        wanted["label"] = columns.label
    lost = {key: name for key, name in wanted.items() if name is not None and name not in rows.columns}
    if lost:
        used = (columns.text, columns.text_pair, columns.label)
        free = [column for column in rows.columns if column and column not in used]
        raise DataError(*(_missing(rows, key, name, free) for key, name in lost.items()))


def _missing(rows: Rows, key: str, name: str, free: list[str]) -> Problem:
    held = [column for column in rows.columns if column]
    shown = ", ".join(held[:12]) + (", ..." if len(held) > 12 else "")
    if len(held) == 1 and "\t" in held[0]:
        hint = "its columns seem to be separated by tabs: name the file .tsv"
    elif len(held) == 1 and ";" in held[0]:
        hint = "its columns seem to be separated by semicolons: save it with commas"
    else:
        near = nearest(name, held, 1) or (free if len(free) == 1 else ["NAME"])
        hint = f"type data.columns.{key}={near[0]}"
    return Problem(f"data.columns.{key}", f"{rows.origin} has no column {name!r}; it has {shown}", hint)


def check_texts(rows: Rows, columns: ColumnsConfig) -> str:
    """Checks that every text is text and returns a line on the empty ones, '' when there are none.

    Raises:
        DataError: a value that is no text, or text that has no UTF-8 form; named with its line.
    """
    empty: set[int] = set()
    for name in filter(None, (columns.text, columns.text_pair)):
        for row, text in enumerate(rows.columns[name]):
            if not isinstance(text, str):
                message = f"the column {name!r} holds {kind_of(text)}"
                raise DataError(Problem(rows.where(row), message, "expected text"))
            if not text or text.isspace():
                empty.add(row)
            elif not _has_utf8(text):
                message = f"the column {name!r} holds half of a surrogate pair, which is no character"
                raise DataError(Problem(rows.where(row), message, "write the text as plain UTF-8"))
    if not empty:
        return ""
    return f"{len(empty):,} of {len(rows):,} rows have an empty text, the first at {rows.where(min(empty))}"


def _has_utf8(text: str) -> bool:
    # Only JSON's \ud800 escapes make such text; tokenizers would fail on it without a line.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
