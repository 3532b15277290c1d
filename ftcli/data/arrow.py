"""Arrow tables -> columns, with the class names that Hugging Face's writers leave in the metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ftcli.data.content import Content, ReadOptions
from ftcli.data.opening import Source
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow


class ArrowColumn(Sequence[Any]):
    """A column whose values become Python objects when they are asked for: vectors, bytes, dates and the like."""

    def __init__(self, column: pyarrow.ChunkedArray, name: str, origin: str) -> None:
        self.column, self.name, self.origin = column, name, origin

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return values_of(self.column[place], self.name, self.origin)
        return values_of(self.column.slice(range(len(self))[place], 1), self.name, self.origin)[0]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), 1024):
            yield from values_of(self.column.slice(start, 1024), self.name, self.origin)

    def take(self, positions: np.ndarray) -> ArrowColumn:
        """Returns some values as a column, positions being (num_taken,) row numbers."""
        import pyarrow

        return ArrowColumn(
            self.column.take(pyarrow.array(positions, pyarrow.int64())), self.name, self.origin
        )

    def followed_by(self, others: list[Any]) -> ArrowColumn | None:
        """Returns this column and others of its type as one; None where one is of another type."""
        import pyarrow

        kind = self.column.type
        if not all(isinstance(other, ArrowColumn) and other.column.type == kind for other in others):
            return None
        chunks = [chunk for part in (self, *others) for chunk in part.column.chunks]
        return ArrowColumn(pyarrow.chunked_array(chunks, kind), self.name, self.origin)


def values_of(column: pyarrow.ChunkedArray, name: str, origin: str) -> list[Any]:
    """Returns Python values; times of a precision that Python's lack are ISO text.

    Raises:
        DataError: a text that is not UTF-8, or a value that Python cannot hold.
    """
    import pyarrow

    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError as error:
        raise DataError(Problem(origin, f"a text of the column {name!r} is not UTF-8")) from error
    except (ValueError, OverflowError, ArithmeticError, pyarrow.ArrowException) as error:
        try:
            return column.cast(pyarrow.string()).to_pylist()  # type: ignore[no-any-return]
        except (ValueError, pyarrow.ArrowException):
            message = f"a value of the column {name!r} cannot be read: {str(error).splitlines()[0]}"
            raise DataError(Problem(origin, message)) from error


def content_of(table: pyarrow.Table, origin: str) -> Content:
    """Returns the columns of a table.

    Plain values, and lists and objects of texts and whole numbers, are lists; the others, which may
    be huge, are each an `ArrowColumn`.

    Raises:
        DataError: a text that is not UTF-8, or two columns of one name.
    """
    columns: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in columns:
            raise DataError(Problem(origin, f"has two columns named {name!r:.80}", "name each column once"))
        plain = is_plain(column.type)
        columns[name] = values_of(column, name, origin) if plain else ArrowColumn(column, name, origin)
    return Content(columns, None, _class_names(table.schema))


def parquet_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """Yields `rows` rows at a time."""
    import pyarrow
    from pyarrow import parquet

    start = 1
    try:
        with source.open() as stream:
            for batch in parquet.ParquetFile(stream).iter_batches(batch_size=rows):
                if not batch.num_rows:
                    continue
                content = content_of(pyarrow.Table.from_batches([batch]), source.origin)
                content.first_row = start
                start += batch.num_rows
                yield content
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(Problem(source.origin, f"is not a parquet file: {reason}")) from error


def is_plain(kind: pyarrow.DataType, *, nested: bool = False) -> bool:
    """Returns whether a type holds plain values, or lists and objects of texts, whole numbers and truth values."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return is_plain(kind.value_type, nested=True)
    if types.is_struct(kind):
        return all(is_plain(kind.field(i).type, nested=True) for i in range(kind.num_fields))
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
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
