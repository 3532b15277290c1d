"""Lists of labels as they stand in a column: names, ids, or a 0 or 1 for every label (multi-hot)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ftcli.batching.cells import label_list
from ftcli.batching.rows import Rows
from ftcli.errors import ConfigError, DataError, Problem

FLAGS: dict[Any, int] = {0: 0, 1: 1, "0": 0, "1": 1}
"""False equals 0 and 1.0 equals 1, so that these four are all forms there are."""


def lists_of(rows: Rows, column: str, separator: str) -> list[list[Any]]:
    """Returns the list of labels of each row; no value, or an empty text, is an empty list.

    Args:
        rows: of one part.
        column: of the labels.
        separator: between names where a row's labels are one text.

    Raises:
        DataError: a value that is neither a list nor text, or brackets that hold no list; named with its line.
    """
    return [_list(value, separator, rows, row) for row, value in enumerate(rows.columns[column])]


def _list(value: Any, separator: str, rows: Rows, row: int) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    if not isinstance(value, str):
        expected = f"expected a list of labels, or text with {separator!r} between them"
        raise DataError(Problem(rows.where(row), f"the labels are {value!r:.120}", expected))
    text = value.strip()
    if not text:
        return []
    if text[0] not in "[({":
        return [name.strip() for name in text.split(separator)]
    found = label_list(text, separator)
    if found is None and text[-1] in "])}":
        expected = 'expected a list such as ["a", "b"], or names without brackets'
        raise DataError(Problem(rows.where(row), f"the labels are {value!r:.120}", expected))
    return [name.strip() for name in text.split(separator)] if found is None else found


def flag_width(lists: Sequence[list[Any]], names: Sequence[str] | None) -> int | None:
    """Returns how many labels the lists have a 0 or 1 for; None where they hold names or ids.

    Lists of one length that hold 0 and 1 alone are flags: a list of ids would name an id twice. One value
    a row says nothing by itself: it is a flag where one name is declared, or true and false are written.

    Args:
        lists: of a part.
        names: of the labels, where they are declared.
    """
    width = len(lists[0]) if lists else 0
    if not width or any(len(one) != width for one in lists):
        return None
    if not all(isinstance(v, int | float | str) and v in FLAGS for one in lists for v in one):
        return None
    if width > 2:
        return width
    booleans = all(isinstance(value, bool) for one in lists for value in one)
    repeated = any(len({FLAGS[value] for value in one}) < width for one in lists)
    if width == 1:
        return 1 if booleans or (names is not None and len(names) == 1) else None
    return width if booleans or repeated or names is None or len(names) == width else None


def flags_of(rows: Rows, lists: Sequence[list[Any]], names: Sequence[str]) -> np.ndarray:
    """Returns multi-hot lists as an array, (num_rows, num_labels) fp32 of 0 and 1.

    Args:
        rows: of one part.
        lists: a 0 or 1 for every label in each.
        names: of the labels, by their place.

    Raises:
        DataError: a list of another length, or a value that is neither 0 nor 1; named with its line.
    """
    for row, one in enumerate(lists):
        lost = [v for v in one if not isinstance(v, int | float | str) or v not in FLAGS]
        if lost or len(one) != len(names):
            message = f"the labels are {one!r:.120}" if lost else f"{len(one)} values for {len(names)} labels"
            raise DataError(
                Problem(rows.where(row), message, f"expected a 0 or 1 for each of the {len(names)} labels")
            )
    return np.array([[FLAGS[value] for value in one] for one in lists], dtype=np.float32)


def flag_names(width: int, declared: Sequence[str] | None) -> list[str]:
    """Returns the names of the places of multi-hot lists: those declared, else 0, 1, ...

    Args:
        width: of the lists.
        declared: data.label_names.

    Raises:
        ConfigError: other than `width` names are declared.
    """
    if declared is not None and len(declared) != width:
        message = f"names {len(declared)} labels, and the lists of 0 and 1 have {width} places"
        raise ConfigError(
            Problem("data.label_names", message, f"name {width} labels, or type data.label_names=null")
        )
    return list(declared) if declared is not None else [str(place) for place in range(width)]
