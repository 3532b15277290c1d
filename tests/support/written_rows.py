"""Rows as files of every format, written plainly or as odd exports write them: encodings, line ends, quotes, layouts, types; seeded."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "cp1251", "shift_jis", "utf-7")  # fmt: skip
QUOTING = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC, csv.QUOTE_NONE)


def written(rows: list[Row], suffix: str, draw: random.Random | None = None) -> bytes:
    """Returns rows as the bytes of a file.

    Args:
        rows: their cells may be of any type.
        suffix: one of `SUFFIXES`.
        draw: with it the writing itself is odd: encoding, line ends, header, quotes, layout.
    """
    if suffix == ".parquet":
        return _parquet(rows, draw)
    delimited = {".csv": ",", ".tsv": "\t"}
    text = _delimited(rows, delimited[suffix], draw) if suffix in delimited else _json(rows, suffix, draw)
    if draw is None:
        return text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.4:
        text = draw.choice(LAYOUTS)(text)
    encoding = draw.choice(ENCODINGS) if draw.random() < 0.4 else "utf-8"
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf-8") else "replace")


LAYOUTS: tuple[Callable[[str], str], ...] = (
    lambda text: text.replace("\n", "\r\n"), lambda text: text.replace("\n", "\r"), lambda text: text.replace("\n", "\r\n", 3), lambda text: text.replace("\n", "\n\n"),
    str.rstrip, lambda text: "\n\n" + text, lambda text: "# rows\n" + text, lambda text: text + text, lambda text: text + "\n \n", lambda text: text.partition("\n")[2],
    lambda text: text.replace(",", ";"), lambda text: text.replace("\t", "  "), lambda text: text.replace('"', "'"), lambda text: text.replace('"', "\u201c"), lambda text: text + "\x1a",
    lambda text: text[:-3], lambda text: text.replace("\n", " \n"), lambda text: "\ufeff" + text, lambda text: text.partition("\n")[0],
)  # fmt: skip


def _delimited(rows: list[Row], separator: str, draw: random.Random | None) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    quoting = csv.QUOTE_MINIMAL if draw is None else draw.choice(QUOTING)
    lines = [keys, *([_plain(row.get(key)) for key in keys] for row in rows)]
    if draw is not None and draw.random() < 0.4:
        number = draw.randrange(len(lines))
        one = lines[number]
        lines[number] = draw.choice((one[:-1], [*one, "x"], [*one, *[""] * 9], [], [""], ["", *one]))
    try:
        return _csv(lines, separator, quoting)
    except csv.Error:  # a row of one empty field cannot be written without quotes
        return _csv(lines, separator, csv.QUOTE_MINIMAL)


def _csv(lines: list[list[Any]], separator: str, quoting: int) -> str:
    made, escape = io.StringIO(), "\\" if quoting == csv.QUOTE_NONE else None
    csv.writer(made, delimiter=separator, quoting=quoting, escapechar=escape, lineterminator="\n").writerows(
        lines
    )
    return made.getvalue()


def _plain(value: Any) -> Any:
    """Returns a cell's text: lists and objects as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _json(rows: list[Row], suffix: str, draw: random.Random | None) -> str:
    plain = draw is None or draw.random() < 0.5
    ascii_only = draw is None or draw.random() < 0.5
    if suffix == ".jsonl":
        lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
        if not plain and draw is not None:
            number = draw.randrange(len(lines))
            one = lines[number]
            odd = (
                "",
                "null",
                "[]",
                "{}",
                "1",
                '"a"',
                f"{one},",
                one * 2,
                f"[{one}]",
                one[:-1] + ', "text": 1}',
            )
            lines[number] = draw.choice(odd)
        return "\n".join(lines) + "\n"
    if plain or draw is None:
        return json.dumps(rows, ensure_ascii=ascii_only)
    keys = list(rows[0])
    whole = draw.choice(({"data": rows}, {"rows": rows, "version": 1}, {key: [row.get(key) for row in rows] for key in keys}, {"0": rows[0]}, rows[0], [rows], [*rows, None],
                         [list(row.values()) for row in rows], {key: {str(i): row.get(key) for i, row in enumerate(rows)} for key in keys}))  # fmt: skip
    return json.dumps(whole, indent=draw.choice((None, 1, 4)))


def _parquet(rows: list[Row], draw: random.Random | None) -> bytes:
    import pyarrow

    cells = {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
    columns = {key.encode("utf-8", "replace").decode(): _array(values) for key, values in cells.items()}
    if draw is not None:
        columns = {
            key: array if draw.random() < 0.6 else _cast(array, draw) for key, array in columns.items()
        }
    compression = "snappy" if draw is None else draw.choice(("none", "snappy", "gzip", "zstd", "brotli"))
    try:
        return _file(columns, compression)
    except pyarrow.ArrowException:  # objects without fields cannot be written
        return _file(
            {key: pyarrow.array(_texts(array.to_pylist())) for key, array in columns.items()}, compression
        )


def _file(columns: dict[str, Any], compression: str) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, compression=compression, row_group_size=5)
    return bytes(sink.getvalue().to_pybytes())


def _array(values: list[Any]) -> Any:
    """Returns a column; values of several types become texts."""
    import pyarrow

    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError, ValueError, TypeError):
        return pyarrow.array(_texts(values))


def _texts(values: list[Any]) -> list[str | None]:
    return [None if one is None else str(_plain(one)).encode("utf-8", "replace").decode() for one in values]


def _cast(array: Any, draw: random.Random) -> Any:
    """Returns a column as another type that holds it, or itself."""
    import pyarrow

    wanted = draw.choice((pyarrow.large_string(), pyarrow.binary(), pyarrow.dictionary(pyarrow.int32(), array.type), pyarrow.int8(), pyarrow.uint64(), pyarrow.float32(),
                          pyarrow.float16(), pyarrow.bool_(), pyarrow.decimal128(20, 4), pyarrow.timestamp("ns"), pyarrow.date32(), pyarrow.null()))  # fmt: skip
    try:
        return array.cast(wanted)
    except pyarrow.ArrowException:
        return pyarrow.nulls(len(array), array.type) if draw.random() < 0.2 else array
