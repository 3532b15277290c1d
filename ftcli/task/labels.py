"""Label values as they stand in a file -> names and ids.

A label's name is its text; whole numbers, also those that a file holds as numbers, are named by
their digits. Ids are positions in the list of names.
"""

from __future__ import annotations

import re
from typing import Any

from ftcli.batching.cells import TWICE, TwiceError, structure_in
from ftcli.batching.rows import Rows
from ftcli.errors import ConfigError, DataError, Problem

WHOLE_NUMBER = re.compile(r"0|-?[1-9]\d*")
WHOLE_FLOAT = re.compile(r"(0|-?[1-9]\d*)\.0+")
"""A whole number as tables write it once a cell of the column was empty."""
MAX_DIGITS = 4000
"""Python reads no longer text as a whole number."""
UNLABELLED = (None, "-1")
"""Names that mean `no label` in a part that need not have any; data sets of the hub use -1."""

FEW_ROWS = 20
"""Up to this many rows, as many labels as rows are taken for a tiny example, not for a wrong column."""


def names_in(rows: Rows, column: str) -> list[str | None]:
    """Returns the name of each row's label; None where there is none.

    Raises:
        DataError: a label that is a fraction, a list or an object, also one written as text; named with its line.
    """
    values = rows.columns[column]
    return [
        _text_name(value, rows, row, column) if type(value) is str else _name(value, rows, row, column)
        for row, value in enumerate(values)
    ]


def _text_name(value: str, rows: Rows, row: int, column: str) -> str | None:
    """Returns a text as the name it is; None for one without a visible character."""
    if value[:1] in ("[", "{", "("):
        try:
            found = structure_in(value)
        except TwiceError as error:
            raise DataError(Problem(rows.where(row), f"the label: {error}", TWICE)) from error
        if found is not None:
            raise _no_class(found, rows, row, column)
    return value if value and not value.isspace() else None


def _no_class(value: Any, rows: Rows, row: int, column: str) -> DataError:
    expected = "expected a class: text or a whole number"
    if isinstance(value, list):
        expected = (
            "task=multi-label reads several labels a row, task=token-classification a tag for each word"
        )
    elif isinstance(value, dict) and value:
        expected = f"a value inside of an object is named by its path: data.columns.label={column}.{next(iter(value))}"
    return DataError(Problem(rows.where(row), f"the label is {value!r:.120}", expected))


def _name(value: Any, rows: Rows, row: int, column: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise _no_class(value, rows, row, column)


def learn_names(
    rows: Rows, column: str, given: list[str] | None, num_labels: int | None, *, base: int = 0
) -> list[str]:
    """Returns the label names, in the order of their ids.

    They are `given`, else those that the source declares, else the labels of the training rows: whole
    numbers in numeric order, anything else in the order of its characters.

    Args:
        rows: of training.
        column: of the labels.
        given: names from a config or a finished run.
        num_labels: how many there must be; None: as many as there are.
        base: the first id, where the labels are ids of which training may lack some.

    Raises:
        DataError: a training row without a label, or labels that are no classes.
        ConfigError: `num_labels` does not agree with the names.
    """
    found = names_in(rows, column)
    if None in found:
        raise DataError(without_label(rows, found.index(None), column))
    names = given or rows.class_names
    if names is None:
        names = order_names({name for name in found if name is not None})
        if num_labels is None and len(names) == len(rows) > FEW_ROWS:
            message = f"each of the {len(rows):,} training rows has a label of its own"
            raise DataError(
                Problem("data.columns.label", message, f"is {column!r} the column of the labels?")
            )
        names = _filled(names, num_labels, base)
    if len(set(names)) != len(names):
        raise ConfigError(Problem("data.label_names", f"names a label twice: {', '.join(names)}"))
    if num_labels is not None and len(names) != num_labels:
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        message = f"got {num_labels}, but there are {len(names)} labels: {shown}"
        hint = f"type task.num_labels={len(names)} or set data.label_names"
        raise ConfigError(Problem("task.num_labels", message, hint))
    return list(names)


def order_names(names: set[str]) -> list[str]:
    """Returns names in the order of their ids: whole numbers by value, anything else by its characters."""
    if all(WHOLE_NUMBER.fullmatch(name) and len(name) <= MAX_DIGITS for name in names):
        return sorted(names, key=int)
    floats = all(WHOLE_FLOAT.fullmatch(name) for name in names)
    return sorted(names, key=float) if floats else sorted(names)


def named(values: list[Any], rows: Rows, row: int, column: str) -> list[str]:
    """Returns the names of a row's list of labels; ids become the names that the source declares.

    Args:
        values: of the row.
        rows: where it stands.
        row: its number, for messages.
        column: where it stands.

    Raises:
        DataError: a value that is neither text nor a whole number, or an id without a name.
    """
    names = []
    for value in values:
        name = _name(value, rows, row, column) if not isinstance(value, str) else value
        if rows.class_names and isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value < len(rows.class_names):
                message = f"the label {value} is no id of the {len(rows.class_names)} names declared"
                raise DataError(Problem(rows.where(row), message))
            name = rows.class_names[value]
        if not name or name.isspace():
            raise DataError(
                Problem(rows.where(row), f"the labels are {values!r:.120}", "one of them is empty")
            )
        names.append(name)
    return names


def _filled(names: list[str], num_labels: int | None, base: int) -> list[str]:
    """Adds the ids that no training row has, where labels are ids and their number is known."""
    ids = [str(i) for i in range(base, base + (num_labels or 0))]
    return ids if set(names) <= set(ids) else names


def without_label(rows: Rows, row: int, column: str) -> Problem:
    """Returns the problem of a row without a label."""
    return Problem(rows.where(row), f"the label is missing (column {column!r})", "remove the row or label it")


def is_unlabelled(rows: Rows, column: str, names: list[str]) -> bool:
    """Returns whether a part that need not have labels has none: no column, or all empty or -1.

    Args:
        rows: of the part.
        column: of the labels.
        names: of the labels; where -1 is one of them, it is a label.

    Raises:
        DataError: some rows have a label and some have none.
    """
    if column not in rows.columns:
        return True
    absent = [name in UNLABELLED and name not in names for name in names_in(rows, column)]
    if any(absent) and not all(absent):
        labelled = f"{absent.count(False):,} of {len(rows):,} rows of the {rows.name} part"
        message = f"this row has no label, but {labelled} have one"
        raise DataError(Problem(rows.where(absent.index(True)), message, "label all rows or none"))
    return all(absent)
