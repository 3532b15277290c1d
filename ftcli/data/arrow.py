"""Arrow tables -> columns, with the class names that Hugging Face's writers leave in the metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ftcli.data.bounds import require_room_for_columns
from ftcli.data.content import WHOLE_ROWS, Content, ReadOptions
from ftcli.data.opening import DAMAGE, Source
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from pyarrow import parquet


class ArrowColumn(Sequence[Any]):
    """A column whose values become Python objects when they are asked for: vectors, bytes, dates and the like.

    Args:
        read: returns the column; it is called when the first value is asked for, so that a run that
            never does holds no images or vectors in memory.
        length: of the column.
        name: of the column, for messages.
        origin: how messages name the file.
    """

    def __init__(self, read: Callable[[], pyarrow.ChunkedArray], length: int, name: str, origin: str) -> None:
        self.column, self.length, self.name, self.origin = cache(read), length, name, origin

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return values_of(self.column().slice(range(len(self))[place], 1), self.name, self.origin)[0]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), 1024):
            yield from values_of(self.column().slice(start, 1024), self.name, self.origin)

    def take(self, positions: np.ndarray) -> ArrowColumn:
        """Returns some values as a column, positions being (num_taken,) row numbers."""
        import pyarrow

        def read() -> pyarrow.ChunkedArray:
            return self.column().take(pyarrow.array(positions, pyarrow.int64()))

        return ArrowColumn(read, len(positions), self.name, self.origin)

    def followed_by(self, others: list[Any]) -> ArrowColumn | None:
        """Returns this column and others as one; None where one of them is a list."""
        import pyarrow

        if not all(isinstance(other, ArrowColumn) for other in others):
            return None
        parts: list[ArrowColumn] = [self, *others]

        def read() -> pyarrow.ChunkedArray:
            columns = [part.column() for part in parts]
            if len({column.type for column in columns}) > 1:
                message = f"the column {self.name!r:.80} is of several types"
                raise DataError(Problem(self.origin, message, "write it as one type in every file"))
            return pyarrow.chunked_array(
                [chunk for column in columns for chunk in column.chunks], columns[0].type
            )

        return ArrowColumn(read, sum(map(len, parts)), self.name, self.origin)


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
    require_room_for_columns(
        [column.type for column in table.columns if is_plain(column.type)], len(table), origin
    )
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in columns:
            raise DataError(Problem(origin, f"has two columns named {name!r:.80}", "name each column once"))
        if is_plain(column.type):
            columns[name] = values_of(column, name, origin)
        else:
            columns[name] = ArrowColumn(partial(_itself, column), len(column), name, origin)
    return Content(columns, None, _class_names(table.schema))


def _itself(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    return column


def parquet_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """Yields `rows` rows at a time."""
    from pyarrow import parquet

    start = 1
    with damage_said(source.origin), source.open() as stream:
        file = parquet.ParquetFile(stream)
        whole = rows >= file.metadata.num_rows
        if whole or rows >= WHOLE_ROWS:
            # The numbers of the file's end alone: pyarrow ends the process where what it keeps of a single column is damaged.
            kinds = [field.type for field in file.schema_arrow if is_plain(field.type)]
            require_room_for_columns(kinds, file.metadata.num_rows, source.origin)
        if whole:
            yield _whole(source, file)
            return
        for batch in file.iter_batches(batch_size=rows):
            if batch.num_rows:
                content = content_of(_table(batch), source.origin)
                content.first_row = start
                start += batch.num_rows
                yield content


def _table(batch: pyarrow.RecordBatch) -> pyarrow.Table:
    import pyarrow

    return pyarrow.Table.from_batches([batch])


def _whole(source: Source, file: parquet.ParquetFile) -> Content:
    """Returns a file's content; columns that may be huge are read when they are asked for."""
    schema = file.schema_arrow
    plain = _plain(schema) if _once(schema) else None
    content = content_of(file.read(columns=plain), source.origin)
    if plain is None or len(plain) == len(schema.names):
        return content
    length = file.metadata.num_rows
    content.columns = {
        name: content.columns[name] if name in content.columns else _deferred(source, name, length)
        for name in schema.names
    }
    return content


def _plain(schema: pyarrow.Schema) -> list[str]:
    return [field.name for field in schema if is_plain(field.type)]


def _once(schema: pyarrow.Schema) -> bool:
    # A name with a dot would be read as a path into a column.
    return len(set(schema.names)) == len(schema.names) and not any("." in name for name in schema.names)


def _deferred(source: Source, name: str, length: int) -> ArrowColumn:
    def read() -> pyarrow.ChunkedArray:
        from pyarrow import parquet

        with damage_said(source.origin), source.open() as stream:
            return parquet.ParquetFile(stream).read(columns=[name]).column(0)

    return ArrowColumn(read, length, name, source.origin)


@contextmanager
def damage_said(origin: str) -> Iterator[None]:
    """Turns what pyarrow raises on a file that is none of its kind to a DataError."""
    import pyarrow

    try:
        yield
    except DataError:
        raise
    except (pyarrow.ArrowException, *DAMAGE, OverflowError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(Problem(origin, f"is not a parquet file: {reason}")) from error


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
