"""Files -> columns: the one reader of csv, tsv, json, jsonl, parquet, conll, conllu, squad and plain text.

Values stay what they are in the file: "NA", "null" and "" are texts, a carriage return in quotes is part
of its text. Every error names its line. A file is read whole (`read_file`) or in pieces (`pieces`), by
the same code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ftcli.data.arrow import parquet_pieces
from ftcli.data.conll import conll_pieces, conllu_pieces
from ftcli.data.content import WHOLE_ROWS, Content, ReadOptions, joined
from ftcli.data.decoding import check_encoding, is_utf8_after_all, text_lines
from ftcli.data.delimited import csv_pieces, tsv_pieces
from ftcli.data.json_rows import json_pieces, jsonl_names, jsonl_pieces, squad_pieces
from ftcli.data.opening import Source, expanded, not_rows, source_of, split_name, stdin_source
from ftcli.errors import DataError, Problem, SourceError

PIECE_ROWS = 4096
DEFAULTS = ReadOptions()
Reader = Callable[[Source, ReadOptions, int], Iterator[Content]]


def _text_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """Yields a text a line: one column, without a name."""
    texts: list[str] = []
    start = 1
    for line in text_lines(source, options.encoding):
        texts.append(line.removesuffix("\n").removesuffix("\r"))
        if len(texts) == rows:
            yield _lines_content(texts, start)
            start, texts = start + rows, []
    if texts:
        yield _lines_content(texts, start)


def _lines_content(texts: list[str], start: int) -> Content:
    numbers = list(range(start, start + len(texts)))
    return Content({"text": texts}, numbers, unnamed=True, first_row=start)


READERS: dict[str, Reader] = {
    ".tsv": tsv_pieces,
    ".csv": csv_pieces,
    ".json": json_pieces,
    ".jsonl": jsonl_pieces,
    ".parquet": parquet_pieces,
    ".conll": conll_pieces,
    ".conllu": conllu_pieces,
    ".squad": squad_pieces,
    ".txt": _text_pieces,
}
SUFFIXES = tuple(READERS)
OTHER_NAMES = {".ndjson": "jsonl", ".jl": "jsonl", ".tab": "tsv", ".pq": "parquet", ".iob": "conll", ".iob2": "conll",
               ".bio": "conll", ".conllx": "conll", ".ner": "conll"}  # fmt: skip
"""Suffixes that are no format's own -> the format that they are of most often."""
READ_AS = {
    ".tsv": (".csv", ".conll", ".conllu"),
    ".csv": (".tsv", ".conll", ".conllu"),
    ".json": (".jsonl", ".squad"),
    ".jsonl": (".json",),
    ".conll": (".conllu",),
    ".conllu": (".conll",),
    ".txt": SUFFIXES,
}
"""Suffix of a file -> other formats that data.format may read it as; no other reading could be right."""


def read_file(file: Path, key: str, options: ReadOptions = DEFAULTS) -> Content:
    """Reads one file whole.

    Args:
        file: where it is.
        key: what the user typed to name the file, for messages.
        options: what the user says about it.

    Raises:
        SourceError: no such file, one that cannot be opened, or an unknown suffix.
        DataError: the content is not what the suffix promises, or there is no row.
        ConfigError: options that no file can be read by.
    """
    source = source_of(file, key)
    reader, notes = _reader_of(file, str(file), key, options)
    options, more = _settled(source, reader, options)
    content = joined(list(_read(source, reader, options, WHOLE_ROWS)))
    content.notes = [*notes, *more, *content.notes]
    content.sha256 = _sha256(file, key)
    return content


def pieces(
    source: str, key: str, options: ReadOptions = DEFAULTS, *, rows: int = PIECE_ROWS
) -> Iterator[Content]:
    """Yields the rows of a file a piece at a time, each with the same columns in the file's order.

    The rows are those of `read_file`, value by value (a property test holds it): texts with their carriage
    returns, columns without a name, dates, decimals, vectors, bytes. tsv, csv, jsonl, conll, txt and parquet
    are read as they are needed; json, one value, as a whole. What the pieces say besides the columns:

    - `line_numbers`: the line each row begins at, from 1; None for json and parquet.
    - `first_row`: the number of the piece's first row in the file, from 1.
    - `without_name`: columns whose name in the header is empty; written back, the name is "" again.
    - `notes`: what was decided in reading, one line each, the same in every piece.
    - `absent`: column -> rows whose object lacks the key (jsonl, json); written back, it is left out.

    `ftcli.data.text.as_rows` turns a piece into `Rows`, whose `place(row)` gives the fields `file` and `line`
    of an output row. To be read twice, stdin is kept in a temporary file, except jsonl, conll and txt.

    Args:
        source: a file, or - for stdin.
        key: what the user typed to name it, for messages.
        options: what the user says about it; of stdin, the format is jsonl unless it says another.
        rows: of a piece.

    Raises:
        SourceError, DataError, ConfigError: as `read_file`.
    """
    notes: list[str] = []
    if source == "-":
        suffix = options.suffix or ".jsonl"
        reader, opened = (
            READERS[suffix],
            stdin_source(again=suffix not in (".jsonl", ".conll", ".conllu", ".txt")),
        )
    else:
        path = expanded(source)
        opened = source_of(path, key)
        reader, notes = _reader_of(path, source, key, options)
    names: list[str] | None = None
    try:
        options, more = _settled(opened, reader, options)
        if reader is jsonl_pieces and opened.again:
            names = jsonl_names(opened, options)
        for piece in _read(opened, reader, options, rows):
            names = list(piece.columns) if names is None else names
            piece.notes = [*notes, *more, *piece.notes]
            yield _alike(piece, names, opened.origin)
    finally:
        opened.close()


def read_shards(files: Sequence[Path], key: str, options: ReadOptions = DEFAULTS) -> Content:
    """Reads the shards of one part in order.

    Raises:
        DataError: shards with different columns; see also `read_file`.
    """
    contents = [read_file(file, key, options) for file in files]
    first = contents[0]
    for file, content in zip(files, contents, strict=True):
        if content.columns.keys() != first.columns.keys():
            raise DataError(Problem(str(file), f"its columns differ from those of {files[0].name}"))
    whole = joined(contents)
    whole.files = [(str(file), len(content)) for file, content in zip(files, contents, strict=True)]
    whole.sha256 = hashlib.sha256("".join(content.sha256 for content in contents).encode()).hexdigest()
    return whole


def _reader_of(file: Path, origin: str, key: str, options: ReadOptions) -> tuple[Reader, list[str]]:
    """Returns the reader of a file, and a line where its name wins over data.format."""
    _, suffix, _ = split_name(file)
    wanted = options.suffix
    if wanted is None or wanted == suffix:
        if suffix not in READERS:
            known = ", ".join(SUFFIXES)
            other = OTHER_NAMES.get(suffix, "NAME")
            hint = f"known are {known}; type data.format={other} to read it"
            raise SourceError(Problem(key, f"{origin} is in no known format: {suffix!r} is its suffix", hint))
        return READERS[suffix], []
    if suffix in READERS and wanted not in READ_AS.get(suffix, ()):
        line = (
            f"{origin} is read as {suffix[1:]}, as its name says; data.format={wanted[1:]} is for other files"
        )
        return READERS[suffix], [line]
    return READERS[wanted], []


def _settled(source: Source, reader: Reader, options: ReadOptions) -> tuple[ReadOptions, list[str]]:
    """Returns the options that a file is read by, and a line where its encoding is not the one that was said."""
    check_encoding(options.encoding)
    if source.again and (reason := not_rows(next(source.chunks(), b""))):
        message, _, hint = reason.partition(": ")
        raise DataError(Problem(source.origin, message, hint))
    if reader is parquet_pieces or not is_utf8_after_all(source, options.encoding):
        return options, []
    line = f"{source.origin} is UTF-8 and is read so; data.encoding={options.encoding} is for other files"
    return replace(options, encoding="utf-8"), [line]


def _read(source: Source, reader: Reader, options: ReadOptions, rows: int) -> Iterator[Content]:
    found = 0
    for piece in reader(source, options, rows):
        if len(piece):
            found += len(piece)
            yield piece
    if not found:
        empty = source.again and not next(source.chunks(), b"").strip()
        if empty:
            raise DataError(Problem(source.origin, "the file is empty"))
        raise DataError(Problem(source.origin, "the file has no rows", "a header alone is not enough"))


def _sha256(file: Path, key: str) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(Problem(key, f"{file} cannot be read: {error.strerror}")) from error


def _alike(piece: Content, names: list[str], origin: str) -> Content:
    """Returns the piece with these columns; a key that appears late in a stream has no place in its table."""
    if list(piece.columns) == names:
        return piece
    if new := [name for name in piece.columns if name not in names]:
        at = next(row for row in range(len(piece)) if row not in piece.absent.get(new[0], ()))
        line = f"{origin}:{piece.line_numbers[at]}" if piece.line_numbers else origin
        message = f"the key {new[0]!r:.80} does not occur in the first rows"
        raise DataError(
            Problem(line, message, "give it to the first row, as null, or read the rows from a file")
        )
    lost = frozenset(range(len(piece)))
    piece.absent |= {name: lost for name in names if name not in piece.columns}
    piece.columns = {name: piece.columns.get(name, [None] * len(piece)) for name in names}
    return piece
