"""Paths into nested columns: `question.stem` of an object, `question.choices[].text` of each in a list."""

from __future__ import annotations

from typing import Any

from ftcli.batching.cells import TWICE, TwiceError, structure_in
from ftcli.batching.rows import Rows
from ftcli.errors import DataError, Problem


def add_nested(rows: Rows, paths: list[str]) -> Rows:
    """Adds the columns that are paths into others, under the path as their name.

    A column that has a path's very name wins. Where an object lacks a key, or is none, the value is
    None; a path whose first name is no column adds nothing. Columns that are read become lists.
    """
    for path in paths:
        for name in {path, path.split(".")[0].removesuffix("[]")} & rows.columns.keys():
            if not isinstance(rows.columns[name], list):
                rows.columns[name] = list(rows.columns[name])
        head, *rest = path.split(".")
        column = head.removesuffix("[]")
        if path in rows.columns or column not in rows.columns or (not rest and head == column):
            continue
        steps = [head.removeprefix(column), *rest]
        rows.columns[path] = [
            _value(value, steps, rows, row) for row, value in enumerate(rows.columns[column])
        ]
        rows.derived |= {path}
    return rows


def _value(value: Any, steps: list[str], rows: Rows, row: int) -> Any:
    """Returns what stands at the end of the steps in one row.

    Raises:
        DataError: a cell of text holds an object that names a key twice.
    """
    try:
        return _follow(value, steps)
    except TwiceError as error:
        raise DataError(Problem(rows.where(row), str(error), TWICE)) from error


def _follow(value: Any, steps: list[str]) -> Any:
    """Returns what stands at the end of the steps; the first is '' or `[]`, the others NAME or NAME[]."""
    for place, step in enumerate(steps):
        name = step.removesuffix("[]")
        if step and isinstance(value, str):  # csv and tsv have no objects: their text in their place
            value = structure_in(value)
        if name:
            value = value.get(name) if isinstance(value, dict) else None
        if step.endswith("[]"):
            rest = ["", *steps[place + 1 :]]
            return [_follow(one, rest) for one in value] if isinstance(value, list) else None
    return value
