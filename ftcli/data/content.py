"""What every reader of files returns: columns of plain values, before anything is checked; and how a file is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WHOLE_ROWS = 1 << 17
"""Rows of a piece where a file is read whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """What the user says about files beyond their names; the fields of `TextConfig` of the same names."""

    suffix: str | None = None
    """Of the format, such as `.conll`; None: what the file's name says."""
    encoding: str = "utf-8"
    """Of text formats."""
    separator: str | None = None
    """Of csv and tsv, one character. None: tab for tsv; for csv the comma, or what separates its first line."""
    quotes: bool | None = None
    """Whether quotes of csv and tsv enclose fields. None: yes for csv; for tsv as `quoting` finds."""
    header: Sequence[str] | None = None
    """Names of the columns of csv and tsv files that come without a header."""
    word_field: int | None = None
    """Of conll and conllu: number of the field with the word, from 1."""
    tag_field: int | None = None
    """Of conll and conllu: number of the field with the tag, from 1."""


@dataclass(slots=True)
class Content:
    """What stands in a file, or in a piece of one: all its columns, in its order."""

    columns: dict[str, Any]
    """Column -> values, lists or other sequences, all of one length."""
    line_numbers: list[int] | None = None
    """First line of each row, from 1; None where the format has no lines."""
    class_names: dict[str, list[str]] = field(default_factory=dict)
    """Column -> names of the ids 0, 1, ..., where the file declares them."""
    sha256: str = ""
    """Hex digest of the file's bytes, or of the columns where there is no one file."""
    unnamed: bool = False
    """Whether the format names no columns: the first holds words or texts, the second, if any, tags."""
    without_name: frozenset[str] = frozenset()
    """Columns whose name in the header is empty; with several of them the keys are `column3` and so on."""
    headed: bool = False
    """Whether the names of the columns are the file's first line."""
    absent: dict[str, frozenset[int]] = field(default_factory=dict)
    """Column -> rows, from 0, whose object lacks the key: they hold None and came without it."""
    first_row: int = 1
    """Number of the first row in its file, from 1."""
    files: list[tuple[str, int]] = field(default_factory=list)
    """(file, rows of it), where there is more than one."""
    notes: list[str] = field(default_factory=list)
    """What was decided in reading, one line each."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def joined(contents: Sequence[Content]) -> Content:
    """Returns the pieces of one file as one content; a column that a piece lacks is absent from its rows."""
    first = contents[0]
    if len(contents) == 1:
        return first
    names = dict.fromkeys(name for content in contents for name in content.columns)
    absent: dict[str, set[int]] = {}
    start = 0
    for content in contents:
        for name in names:
            known = name in content.columns
            lost = content.absent.get(name, ()) if known else range(len(content))
            if lost:
                absent.setdefault(name, set()).update(start + row for row in lost)
        start += len(content)
    columns = {name: _end_to_end([c.columns.get(name, [None] * len(c)) for c in contents]) for name in names}
    numbers = None
    if first.line_numbers is not None:
        numbers = [number for content in contents for number in content.line_numbers or ()]
    return Content(
        columns, numbers, first.class_names, first.sha256, first.unnamed, first.without_name, first.headed,
        {name: frozenset(rows) for name, rows in absent.items()}, first.first_row, notes=first.notes,
    )  # fmt: skip


def _end_to_end(parts: list[Any]) -> Any:
    """Returns the values of all parts; columns that are not lists may have a way of their own, `followed_by`."""
    if not isinstance(parts[0], list) and (whole := parts[0].followed_by(parts[1:])) is not None:
        return whole
    return [value for part in parts for value in part]


def kind_of(value: Any) -> str:
    """Returns `text`, `a number`, ... for messages."""
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    names |= {str: "text", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")
