"""csv and tsv files without a header: recognised by their first line, and names for their columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ftcli.batching.rows import Field, Kind, Rows

LOOKED_AT = 2000
"""Rows that are looked at."""
NUMBER = re.compile(r"(?!(19|20)\d\d$)[-+]?\d+([.,]\d+)*")
"""A cell that is no name; years are names of columns often."""
SENTENCE_WORDS = 5
"""Words from which the name of a column may be a text."""


def without_header(rows: Rows, read: Sequence[str]) -> bool:
    """Returns whether the first line of a file is a row, and not the names of its columns.

    It is one where a cell is a number, or stands among the values of its own column; or where all cells are
    sentences. Names that count the columns, as pandas writes them, are names.

    Args:
        rows: with names from the first line.
        read: columns that a task reads, if it finds them all: each of them must look like a value then.
    """
    names = [name for name in rows.columns if name not in rows.derived]
    firsts = ["" if name in rows.without_name else name for name in names]
    if [name for name in firsts if name] == [str(i) for i, name in enumerate(firsts) if name]:
        return False
    columns = [rows.columns[name][:LOOKED_AT] for name in names]
    repeated = set(zip(*columns, strict=True)) if columns else set()
    values = [
        bool(first) and (bool(NUMBER.fullmatch(first)) or (first in column and tuple(firsts) not in repeated))
        for first, column in zip(firsts, columns, strict=True)
    ]
    sentences = [len(first.split()) >= SENTENCE_WORDS for first in firsts]
    alike = [value or long for value, long in zip(values, sentences, strict=True)]
    if read:
        places = [names.index(column) for column in read if column in names]
        return any(values[place] for place in places) and all(alike[place] for place in places)
    return any(values) or all(sentences)


def names_for(rows: Rows, fields: Sequence[Field]) -> list[str]:
    """Returns a name for each column: the fields' for those that look like them, `column3` for the others.

    A label has few values, texts are the longest columns.

    Args:
        rows: with names from the first line.
        fields: that must be among the columns.
    """
    names = [name for name in rows.columns if name not in rows.derived]
    cells = [["" if name in rows.without_name else name, *rows.columns[name][:LOOKED_AT]] for name in names]
    length = [sum(map(len, column)) / len(column) for column in cells]
    distinct = [len(set(column)) for column in cells]
    found: dict[int, str] = {}
    texts = [field.column for field in fields if not field.is_label]
    longest = sorted(range(len(names)), key=lambda place: -length[place])[: len(texts)]
    found |= dict(zip(sorted(longest), texts, strict=False))
    free = [place for place in range(len(names)) if place not in found]
    for field in fields:
        if field.is_label and free:
            label = min(free, key=lambda place: _unlike_labels(cells[place], distinct[place]))
            found[label] = field.column
            free.remove(label)
    return [found.get(place, f"column{place + 1}") for place in range(len(names))]


def _unlike_labels(cells: list[str], distinct: int) -> tuple[bool, bool, bool, int]:
    """Returns a rank: labels have values in every row, few of them, and stand there as numbers more often than not."""
    return (
        distinct < 2 or "" in cells,
        distinct > len(cells) / 2 + 1,
        not NUMBER.fullmatch(cells[0]),
        distinct,
    )


def likely_columns(rows: Rows, fields: Sequence[Field], free: Sequence[str]) -> dict[str, str]:
    """Returns column that is missing -> the one that looks most like it: texts are the longest, a label has few values.

    Args:
        rows: of one part.
        fields: whose columns are missing; one of several texts or lists has none.
        free: names of columns that no other field reads.
    """
    found: dict[str, str] = {}
    cells = {name: ["" if v is None else str(v) for v in rows.columns[name][:LOOKED_AT]] for name in free}
    plain = {
        name
        for name in free
        if all(isinstance(v, str) for v in rows.columns[name][:LOOKED_AT])
        and not any(text.startswith(("[", "{")) for text in cells[name][:1])
    }
    for field in sorted(fields, key=lambda one: one.is_label):
        left = [name for name in cells if name not in found.values()]
        if field.is_label:
            left = [name for name in left if 2 <= len(set(cells[name])) <= len(cells[name]) / 2 + 1]
            best = min(
                left, key=lambda name: _unlike_labels(cells[name], len(set(cells[name]))), default=None
            )
        else:
            texts = [name for name in left if field.kind is Kind.text and name in plain and cells[name]]
            best = max(texts, key=lambda name: sum(map(len, cells[name])), default=None)
        if best is not None:
            found[field.column] = best
    return found
