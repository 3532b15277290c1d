"""Arrow tables -> columns, with the class names that Hugging Face's writers leave in the metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ftcli.data.content import Content
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    import pyarrow


def content_of(table: pyarrow.Table, origin: str) -> Content:
    """Returns the columns of a table that hold plain values, or lists and objects of them.

    Bytes, such as images, and lists of fractions, such as vectors, are left out: they may be huge.

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


def _is_plain(kind: pyarrow.DataType, *, nested: bool = False) -> bool:
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(kind.value_type, nested=True)
    if types.is_struct(kind):
        return all(_is_plain(kind.field(i).type, nested=True) for i in range(kind.num_fields))
    inner = kind.value_type if types.is_dictionary(kind) else kind
    text = (types.is_string, types.is_large_string, types.is_string_view)
    value = (types.is_integer, types.is_boolean, types.is_null)
    return any(test(inner) for test in (*text, *value)) or (types.is_floating(inner) and not nested)


def _class_names(schema: pyarrow.Schema) -> dict[str, list[str]]:
    """Reads `ClassLabel` features out of the schema's `huggingface` entry; damaged ones say nothing."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        inner = {name: kind.get("feature", kind) for name, kind in features.items() if isinstance(kind, dict)}
        return {name: list(map(str, kind["names"])) for name, kind in inner.items() if "names" in kind}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
