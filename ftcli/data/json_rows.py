"""json and jsonl -> pieces of content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ftcli.batching.cells import TWICE, TwiceError, unique_object
from ftcli.data.bounds import require_columns, require_dense, require_room_for_json
from ftcli.data.content import Content, ReadOptions, kind_of
from ftcli.data.decoding import text_lines, text_of
from ftcli.data.opening import Source
from ftcli.data.squad import flattened
from ftcli.errors import DataError, Problem


def json_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """Yields one content: a list of objects is one value."""
    found = _value(source, options)
    origin = source.origin
    if not isinstance(found, list):
        expected = "expected a list of objects, one a row"
        if isinstance(found, dict) and isinstance(found.get("data"), list):
            expected += "; a file of SQuAD is read by data.format=squad"
        raise DataError(Problem(origin, f"holds {kind_of(found)}", expected))
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise DataError(Problem(f"{origin}, row {number}", f"holds {kind_of(row)}", "expected an object"))
    yield objects(found, None, origin)


def squad_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """Yields one content, of a file as SQuAD's authors publish it."""
    yield flattened(_value(source, options), source.origin)


def _value(source: Source, options: ReadOptions) -> Any:
    text = text_of(source, options.encoding)
    if not text.strip():
        raise DataError(Problem(source.origin, "the file is empty"))
    require_room_for_json(text, source.origin)
    try:
        return json.loads(text, object_pairs_hook=unique_object)
    except json.JSONDecodeError as error:
        hint = "rows one a line are jsonl: type data.format=jsonl" if error.msg == "Extra data" else ""
        message = f"is not valid JSON: {error.msg}"
        raise DataError(Problem(f"{source.origin}:{error.lineno}", message, hint)) from error
    except TwiceError as error:
        raise DataError(Problem(source.origin, str(error), TWICE)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(source.origin, f"is not valid JSON: {error}")) from error


def jsonl_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """Yields `rows` objects at a time; a piece has the keys of its own objects."""
    lines = enumerate(text_lines(source, options.encoding), 1)
    filled = ((number, line) for number, line in lines if line.strip())
    while block := list(islice(filled, rows)):
        found = [object_of(line, f"{source.origin}:{number}") for number, line in block]
        yield objects(found, [number for number, _ in block], f"{source.origin}:{block[0][0]}")


def jsonl_names(source: Source, options: ReadOptions) -> list[str]:
    """Returns the keys of all objects of a file, in the order in which they first occur."""
    names: dict[str, None] = {}
    for number, line in enumerate(text_lines(source, options.encoding), 1):
        if line.strip():
            names |= dict.fromkeys(object_of(line, f"{source.origin}:{number}"))
            require_columns(len(names), f"{source.origin}:{number}")
    return list(names)


def object_of(line: str, where: str) -> dict[str, Any]:
    """Returns the object that a line of jsonl is.

    Raises:
        DataError: it is none.
    """
    require_room_for_json(line, where)
    try:
        row = json.loads(line, object_pairs_hook=unique_object)
    except TwiceError as error:
        raise DataError(Problem(where, str(error), TWICE)) from error
    except (ValueError, RecursionError) as error:
        message = f"is not valid JSON: {getattr(error, 'msg', error)}"
        raise DataError(Problem(where, message, "expected one object a line")) from error
    if not isinstance(row, dict):
        raise DataError(Problem(where, f"holds {kind_of(row)}", "expected one object a line"))
    return row


def objects(rows: list[dict[str, Any]], numbers: list[int] | None, where: str) -> Content:
    """Turns objects to columns; a key that an object lacks is None there, and said to be absent.

    Args:
        rows: the objects.
        numbers: their lines, or None.
        where: the first of them stands.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    require_dense(rows, len(names), where)
    columns = {name: [row.get(name) for row in rows] for name in names}
    absent: dict[str, frozenset[int]] = {}
    if any(len(row) < len(names) for row in rows):
        found = {name: frozenset(i for i, row in enumerate(rows) if name not in row) for name in names}
        absent = {name: lost for name, lost in found.items() if lost}
    return Content(columns, numbers, absent=absent)
