"""Files -> columns: tsv, csv, json, jsonl, parquet, conll and squad, read strictly.

Values stay what they are in the file: "NA", "null" and "" are texts. Every error names its line.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ftcli.data.arrow import content_of
from ftcli.data.content import Content, kind_of
from ftcli.data.squad import flattened
from ftcli.errors import DataError, Problem, SourceError, nearest

SUFFIXES = (".tsv", ".csv", ".json", ".jsonl", ".parquet", ".conll", ".squad")


def read_file(file: Path, key: str, suffix: str | None = None) -> Content:
    """Reads one file by the format that its suffix names.

    Args:
        file: where it is.
        key: what the user typed to name the file, for messages.
        suffix: another format, such as `.conll`, whatever the file is called.

    Raises:
        SourceError: no such file, one that cannot be opened, or an unknown suffix.
        DataError: the content is not what the suffix promises, or there is no row.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise SourceError(missing(file, key)) from error
    except OSError as error:
        raise SourceError(Problem(key, f"{file} cannot be read: {error.strerror}")) from error
    return parse(data, suffix or file.suffix, str(file), key)


def read_shards(files: Sequence[Path], key: str) -> Content:
    """Reads the shards of one part in order.

    Raises:
        DataError: shards with different columns; see also `read_file`.
    """
    contents = [read_file(file, key) for file in files]
    first = contents[0]
    for file, content in zip(files, contents, strict=True):
        if content.columns.keys() != first.columns.keys():
            raise DataError(Problem(str(file), f"its columns differ from those of {files[0].name}"))
    digest = hashlib.sha256("".join(content.sha256 for content in contents).encode()).hexdigest()
    columns = {name: [v for content in contents for v in content.columns[name]] for name in first.columns}
    return Content(columns, None, first.class_names, digest)


def parse(data: bytes, suffix: str, origin: str, key: str = "data.path") -> Content:
    """Reads bytes, such as a file's or those of stdin.

    Args:
        data: the bytes.
        suffix: of the format (`.tsv`, ...).
        origin: how messages name the file.
        key: what the user typed to name it, for messages.

    Raises:
        SourceError: an unknown suffix.
        DataError: the content is not what the suffix promises, or there is no row.
    """
    functions = (_read_tsv, _read_csv, _read_json, _read_jsonl, _read_parquet, _read_conll, _read_squad)
    readers = dict(zip(SUFFIXES, functions, strict=True))
    if suffix not in readers:
        message = f"{origin} is in no known format: {suffix!r} is its suffix"
        raise SourceError(
            Problem(
                key, message, f"known are {', '.join(SUFFIXES)}; data.format=NAME reads a file of any name"
            )
        )
    if not data.strip():
        raise DataError(Problem(origin, "the file is empty"))
    content = readers[suffix](data, origin)
    if not any(content.columns.values()):
        raise DataError(Problem(origin, "the file has no rows", "a header alone is not enough"))
    content.sha256 = hashlib.sha256(data).hexdigest()
    return content


def missing(file: Path, key: str) -> Problem:
    """Returns the problem of a file or folder that is not there, with what is near it."""
    if not file.parent.is_dir():
        return Problem(key, f"there is no {file}", f"the folder {file.parent} does not exist either")
    near = nearest(file.name, [entry.name for entry in file.parent.iterdir()])
    hint = "did you mean " + " or ".join(str(file.parent / name) for name in near) + "?"
    return Problem(key, f"there is no {file}", hint if near else f"look into {file.parent}")


def _text(data: bytes, origin: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(_not_utf8(data, error, origin, 1)) from error
    if "\0" in text:
        raise DataError(_has_nul(origin, text.count("\n", 0, text.index("\0")) + 1))
    return text


def decoded(line: bytes, origin: str, number: int) -> str:
    """Returns one line as text; the first may begin with a byte order mark.

    Args:
        line: its bytes.
        origin: how messages name the file.
        number: of the line, from 1.

    Raises:
        DataError: it is no UTF-8, or holds a NUL byte.
    """
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(_not_utf8(line, error, origin, number)) from error
    if "\0" in text:
        raise DataError(_has_nul(origin, number))
    return text


def _not_utf8(data: bytes, error: UnicodeDecodeError, origin: str, first: int) -> Problem:
    line = data.count(b"\n", 0, error.start) + first
    return Problem(
        f"{origin}:{line}", f"byte {data[error.start]:#04x} is not UTF-8", "save the file as UTF-8"
    )


def _has_nul(origin: str, line: int) -> Problem:
    return Problem(f"{origin}:{line}", "holds a NUL byte: not a text file", "save the file as UTF-8")


def _lines(text: str) -> list[str]:
    # Not splitlines: U+2028, form feeds and the like are part of a text.
    lines = text.rstrip("\r\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def _read_tsv(data: bytes, origin: str) -> Content:
    """Fields are whatever stands between tabs: quotes mean nothing."""
    header, *lines = _lines(_text(data, origin))
    return table_of(
        header.split("\t"), [line.split("\t") for line in lines], range(2, len(lines) + 2), origin
    )


def _read_csv(data: bytes, origin: str) -> Content:
    """RFC 4180: a quoted field may hold commas, quotes (doubled) and line breaks."""
    # The module's limit of 128 KiB a field guards against nothing here: the file is in memory.
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(_text(data, origin).rstrip("\r\n"), newline=""), strict=True)
    rows: list[list[str]] = []
    numbers: list[int] = []
    line = 1
    try:
        for fields in reader:
            rows.append(fields or [""])
            numbers.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"is not valid csv: {error}"
        raise DataError(
            Problem(f"{origin}:{line}", message, 'a quote in a quoted text is written ""')
        ) from error
    return table_of(rows[0], rows[1:], numbers[1:], origin)


def table_of(header: list[str], rows: list[list[str]], lines: Sequence[int], origin: str) -> Content:
    """Returns the columns of rows of fields.

    Args:
        header: names of the columns.
        rows: fields of each row.
        lines: first line of each row, from 1.
        origin: how messages name the file.

    Raises:
        DataError: a column named twice, or a row with more or fewer fields than the header.
    """
    named = [name for name in header if name]
    for name in named:
        if named.count(name) > 1:
            raise DataError(Problem(f"{origin}:1", f"the header names the column {name!r} twice"))
    if not set(map(len, rows)) <= {len(header)}:
        for line, fields in zip(lines, rows, strict=True):
            if len(fields) == len(header):
                continue
            message = f"{_count(len(fields), 'field')} where the header has {len(header)}"
            raise DataError(Problem(f"{origin}:{line}", message, _separator_hint(origin)))
    columns = [list(column) for column in zip(*rows, strict=True)]
    columns = columns or [[] for _ in header]
    return Content(dict(zip(header, columns, strict=True)), list(lines))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _separator_hint(origin: str) -> str:
    if origin.endswith(".tsv"):
        return "a tab always separates in a tsv; texts with tabs or line breaks need csv or jsonl"
    return "quote a text with commas or line breaks"


def _json(data: bytes, origin: str) -> Any:
    try:
        return json.loads(_text(data, origin))
    except json.JSONDecodeError as error:
        hint = "rows one a line are jsonl: rename the file" if error.msg == "Extra data" else ""
        message = f"is not valid JSON: {error.msg}"
        raise DataError(Problem(f"{origin}:{error.lineno}", message, hint)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(origin, f"is not valid JSON: {error}")) from error


def _read_json(data: bytes, origin: str) -> Content:
    rows = _json(data, origin)
    if not isinstance(rows, list):
        expected = "expected a list of objects, one a row"
        if isinstance(rows, dict) and isinstance(rows.get("data"), list):
            expected += "; a file of SQuAD is read by data.format=squad"
        raise DataError(Problem(origin, f"holds {kind_of(rows)}", expected))
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(Problem(f"{origin}, row {number}", f"holds {kind_of(row)}", "expected an object"))
    return objects(rows, None)


def _read_squad(data: bytes, origin: str) -> Content:
    return flattened(_json(data, origin), origin)


def _read_jsonl(data: bytes, origin: str) -> Content:
    filled = [(n, line) for n, line in enumerate(_lines(_text(data, origin)), 1) if line.strip()]
    return objects([object_of(line, f"{origin}:{n}") for n, line in filled], [n for n, _ in filled])


def object_of(line: str, where: str) -> dict[str, Any]:
    """Returns the object that a line of jsonl is.

    Raises:
        DataError: it is none.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        message = f"is not valid JSON: {getattr(error, 'msg', error)}"
        raise DataError(Problem(where, message, "expected one object a line")) from error
    if not isinstance(row, dict):
        raise DataError(Problem(where, f"holds {kind_of(row)}", "expected one object a line"))
    return row


def objects(rows: list[dict[str, Any]], numbers: list[int] | None) -> Content:
    """Turns objects to columns; a key that an object lacks is None there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return Content({name: [row.get(name) for row in rows] for name in names}, numbers)


def _read_parquet(data: bytes, origin: str) -> Content:
    import pyarrow
    from pyarrow import parquet

    try:
        return content_of(parquet.read_table(pyarrow.BufferReader(data)), origin)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(Problem(origin, f"is not a parquet file: {str(error).splitlines()[0]}")) from error


def _read_conll(data: bytes, origin: str) -> Content:
    """A word and its tag a line, an empty line after each sentence: two columns of lists, without names.

    Of more than two columns (separated by tabs, else by spaces) the first is the word and the last the
    tag. Lines that begin with -DOCSTART- mark documents and are left out.
    """
    sentences = list(sentence_lines(enumerate(_lines(_text(data, origin)), 1), origin))
    numbers, words, tags = (
        (list(column) for column in zip(*sentences, strict=True)) if sentences else ([], [], [])
    )
    return Content({"words": words, "tags": tags}, numbers, unnamed=True)


def sentence_lines(
    lines: Iterable[tuple[int, str]], origin: str
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yields (line of its first word, words, tags) of each sentence.

    Raises:
        DataError: a line with one field.
    """
    start, words, tags = 0, [], []  # type: ignore[var-annotated]
    for number, line in lines:
        if not line.strip(" \t") or line.startswith("-DOCSTART-"):
            if words:
                yield start, words, tags
            words, tags = [], []
            continue
        fields = line.split("\t") if "\t" in line else line.split(" ")
        if len(fields) < 2 or not fields[-1].strip():
            message = f"one field, {line[:40]!r}, where a word and its tag are expected"
            raise DataError(Problem(f"{origin}:{number}", message, "separate them by a tab or a space"))
        start = start if words else number
        words.append(fields[0])
        tags.append(fields[-1].strip())
    if words:
        yield start, words, tags
