"""Arrow tables -> columns, with the class names that Hugging Face's writers leave in the metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ftcli.data.reading import Content
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    import pyarrow


def content_of(table: pyarrow.Table, origin: str) -> Content:
    """Returns the columns of a table that hold one plain value a row.

    Images, lists and other nested columns are left out: they are no text and no label, and may be huge.

    Raises:
        DataError: a text that is not UTF-8.
    """
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if _is_plain(column.type):
            try:
                columns[name] = column.to_pylist()
            except UnicodeDecodeError as error:
                raise DataError(Problem(origin, f"a text of the column {name!r} is not UTF-8")) from error
    return Content(columns, None, _class_names(table.schema))


def _is_plain(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    inner = kind.value_type if types.is_dictionary(kind) else kind
    text = (types.is_string, types.is_large_string, types.is_string_view)
    value = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return any(test(inner) for test in (*text, *value))


def _class_names(schema: pyarrow.Schema) -> dict[str, list[str]]:
    """Reads `ClassLabel` features out of the schema's `huggingface` entry; damaged ones say nothing."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: list(map(str, kind["names"])) for name, kind in features.items() if "names" in kind}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
