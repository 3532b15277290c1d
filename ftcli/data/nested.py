"""Paths into nested columns: `question.stem` of an object, `question.choices[].text` of each in a list."""

from __future__ import annotations

from typing import Any

from ftcli.batching.cells import structure_in
from ftcli.batching.rows import Rows


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
        rows.columns[path] = [_follow(value, steps) for value in rows.columns[column]]
        rows.derived |= {path}
    return rows


def _follow(value: Any, steps: list[str]) -> Any:
    """Returns what stands at the end of the steps; the first is `` or `[]`, the others NAME or NAME[]."""
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
