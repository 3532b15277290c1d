"""A file, or stdin, piece by piece: memory does not grow with its length."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ftcli.data.arrow import content_of
from ftcli.data.content import Content
from ftcli.data.reading import decoded, missing, object_of, objects, parse, sentence_lines, table_of
from ftcli.errors import DataError, Problem, SourceError

PIECE_ROWS = 4096


def pieces(source: str, key: str, suffix: str | None = None) -> Iterator[Content]:
    """Yields the content of a file, `PIECE_ROWS` rows at a time, every piece with the same columns.

    tsv, csv, jsonl, conll and parquet are read as they are needed; json, one value, as a whole.

    Args:
        source: a file, or - for stdin.
        key: what the user typed to name it, for messages.
        suffix: the format, such as `.jsonl`; None: what the file's name says.

    Raises:
        SourceError: no such file, or one that cannot be opened.
        DataError: the content is not what the format promises, or there is no row.
    """
    path = Path(source).expanduser()
    suffix = suffix or (".jsonl" if source == "-" else path.suffix)
    origin = "stdin" if source == "-" else str(path)
    if suffix == ".parquet" and source != "-":
        yield from _parquet(path, origin, key)
        return
    stream = _opened(path, key) if source != "-" else sys.stdin.buffer
    with stream:
        readers = {".tsv": _tsv, ".csv": _csv, ".jsonl": _jsonl, ".conll": _conll}
        found = readers[suffix](_lines(stream, origin), origin) if suffix in readers else None
        if found is None:
            yield parse(stream.read(), suffix, origin, key)
            return
        first = next(found, None)
        if first is None:
            raise DataError(Problem(origin, "the file has no rows"))
        yield first
        for piece in found:
            yield _alike(piece, first, origin)


def _opened(path: Path, key: str) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise SourceError(missing(path, key)) from error
    except OSError as error:
        raise SourceError(Problem(key, f"{path} cannot be read: {error.strerror}")) from error


def _alike(piece: Content, first: Content, origin: str) -> Content:
    """Returns the piece with the columns of the first one; a key that appears later has no place in a table."""
    new = [name for name in piece.columns if name not in first.columns]
    if new:
        at = next(row for row, value in enumerate(piece.columns[new[0]]) if value is not None)
        line = f"{origin}:{piece.line_numbers[at]}" if piece.line_numbers else origin
        message = f"the key {new[0]!r} does not occur in the first {PIECE_ROWS:,} rows"
        raise DataError(Problem(line, message, "give it to the first row, as null"))
    rows = len(next(iter(piece.columns.values())))
    columns = {name: piece.columns.get(name, [None] * rows) for name in first.columns}
    return Content(columns, piece.line_numbers, piece.class_names, unnamed=piece.unnamed)


def _lines(stream: Iterable[bytes], origin: str) -> Iterator[tuple[int, str]]:
    """Yields (number from 1, line without its end), without the empty lines at the end of the file."""
    empty: list[int] = []
    for number, raw in enumerate(stream, 1):
        line = decoded(raw, origin, number).removesuffix("\n").removesuffix("\r")
        if not line:
            empty.append(number)
            continue
        yield from ((skipped, "") for skipped in empty)
        empty.clear()
        yield number, line


def _tsv(lines: Iterator[tuple[int, str]], origin: str) -> Iterator[Content]:
    header = next(lines, (1, ""))[1].split("\t")
    while rows := [(number, line.split("\t")) for number, line in islice(lines, PIECE_ROWS)]:
        yield table_of(header, [fields for _, fields in rows], [number for number, _ in rows], origin)


def _csv(lines: Iterator[tuple[int, str]], origin: str) -> Iterator[Content]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader((f"{line}\n" for _, line in lines), strict=True)
    line = 1

    def records() -> Iterator[tuple[int, list[str]]]:
        """Yields (first line, fields) of each record."""
        nonlocal line
        try:
            for fields in reader:
                yield line, fields or [""]
                line = reader.line_num + 1
        except csv.Error as error:
            message = f"is not valid csv: {error}"
            hint = 'a quote in a quoted text is written ""'
            raise DataError(Problem(f"{origin}:{line}", message, hint)) from error

    found = records()
    header = next(found, (1, [""]))[1]
    while rows := list(islice(found, PIECE_ROWS)):
        yield table_of(header, [fields for _, fields in rows], [number for number, _ in rows], origin)


def _jsonl(lines: Iterator[tuple[int, str]], origin: str) -> Iterator[Content]:
    filled = ((number, line) for number, line in lines if line.strip())
    while block := list(islice(filled, PIECE_ROWS)):
        rows: list[dict[str, Any]] = [object_of(line, f"{origin}:{number}") for number, line in block]
        yield objects(rows, [number for number, _ in block])


def _conll(lines: Iterator[tuple[int, str]], origin: str) -> Iterator[Content]:
    sentences = sentence_lines(lines, origin)
    while block := list(islice(sentences, PIECE_ROWS)):
        numbers, words, tags = (list(column) for column in zip(*block, strict=True))
        yield Content({"words": words, "tags": tags}, numbers, unnamed=True)


def _parquet(path: Path, origin: str, key: str) -> Iterator[Content]:
    import pyarrow
    from pyarrow import parquet

    with _opened(path, key) as stream:
        try:
            for batch in parquet.ParquetFile(stream).iter_batches(batch_size=PIECE_ROWS):
                yield content_of(pyarrow.Table.from_batches([batch]), origin)
        except (pyarrow.ArrowException, OSError) as error:
            message = f"is not a parquet file: {str(error).splitlines()[0]}"
            raise DataError(Problem(origin, message)) from error
