"""Whether the quotes of a tsv file enclose fields, as pandas and spreadsheets write them, or are part of the texts."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator

from ftcli.data.bounds import LONGEST_ROW
from ftcli.data.content import ReadOptions
from ftcli.data.decoding import text_lines
from ftcli.data.opening import Source


def encloses(source: Source, options: ReadOptions, separator: str) -> bool:
    """Returns whether a file was written by a program that quotes fields (RFC 4180, with another separator).

    Every field that holds a quote must begin and end with one and double those inside, every row must
    have as many fields as the first, and there must be proof: a field that had to be quoted (for a
    separator, a line break or a quote inside), or a first line all of whose fields are. A file
    whose texts merely happen to stand in quotes is none.

    Args:
        source: of the file; it is read to its end if it holds quotes.
        options: with its encoding.
        separator: of its fields.
    """
    if not any(b'"' in chunk for chunk in source.chunks()):
        return False
    csv.field_size_limit(sys.maxsize)  # as the reader has it: a long document is no proof against quotes
    raw: list[str] = []
    reader = csv.reader(_noted(text_lines(source, options.encoding), raw), delimiter=separator, strict=True)
    proof, width = False, 0
    try:
        for number, fields in enumerate(reader):
            text = "".join(raw).rstrip("\r\n")
            raw.clear()
            quoted = _quoted(text, fields, separator)
            if quoted is None or (fields and width and len(fields) != width):
                return False
            width = width or len(fields)
            proof |= number == 0 and bool(fields) and all(quoted)
            proof |= any(mark and _must(field, separator) for mark, field in zip(quoted, fields, strict=True))
    except csv.Error:
        return False
    return proof


def _noted(lines: Iterator[str], raw: list[str]) -> Iterator[str]:
    length = 0
    for line in lines:
        length = length + len(line) if raw else len(line)
        if length > LONGEST_ROW:
            raise csv.Error("a quote encloses more than any row holds")
        raw.append(line)
        yield line


def _must(field: str, separator: str) -> bool:
    return any(sign in field for sign in (separator, '"', "\n", "\r"))


def _quoted(text: str, fields: list[str], separator: str) -> list[bool] | None:
    """Returns whether each field is quoted in the text of a row; None where a quote stands otherwise."""
    found, place = [], 0
    for number, field in enumerate(fields):
        place += bool(number)
        written = '"' + field.replace('"', '""') + '"'
        quoted = text.startswith(written, place) and text[place + len(written) :][:1] in ("", separator)
        if not quoted and '"' in field:
            return None
        place += len(written) if quoted else len(field)
        found.append(quoted)
    return found if place == len(text) else None
