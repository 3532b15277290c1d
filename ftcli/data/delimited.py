"""csv and tsv -> pieces of content."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from ftcli.config.shell_word import shell_word
from ftcli.data.bounds import LONGEST_ROW, require_columns, row_without_end
from ftcli.data.content import Content, ReadOptions
from ftcli.data.decoding import text_lines
from ftcli.data.opening import Source
from ftcli.data.quoting import encloses
from ftcli.errors import ConfigError, DataError, Problem

NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
OTHERS = (";", "\t", "|")
"""Separators that a csv file is read by where its first line has no comma."""
LOOKED_AT = 5
"""Rows that must agree on such a separator."""
RETURN = "\ufdd0\ufdd1\ufdd0"
"""Three characters that Unicode keeps free for uses like this: no text holds them."""
EXCEL = re.compile(r'"?sep=([^"\s\w]|\t)"?\r?\n?', re.IGNORECASE)
"""A first line that names the separator, for Excel."""
LONE_RETURN = re.compile(r"\r(?!\n)")
Records = Iterator[tuple[int, list[str]]]
"""(first line, fields) of each row."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How fields are separated."""

    separator: str
    quotes: bool
    first_line: int = 1
    """2 where the first line only names the separator."""


def separator_of(word: str) -> str:
    """Returns the one character that data.separator says.

    Raises:
        ConfigError: it is none, or cannot separate.
    """
    found = NAMED.get(word, word)
    if len(found) != 1 or found in '"\r\n\0':
        expected = "expected one character, or one of " + ", ".join(name for name in NAMED if name.isalpha())
        raise ConfigError(Problem("data.separator", f"got {word!r:.80}", expected))
    return found


def csv_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """RFC 4180: a quoted field may hold separators, quotes (doubled) and line breaks."""
    quotes = options.quotes is not False
    notes: list[str] = []
    separator, first_line = ",", 1
    if options.separator is not None:
        separator = separator_of(options.separator)
    elif source.again and (found := EXCEL.fullmatch(next(text_lines(source, options.encoding), ""))):
        separator, first_line = found[1], 2
        notes.append(f"{source.origin} is separated by {separator!r}, as its first line says")
    elif source.again and (other := _other_separator(source, options, quotes)):
        separator = other
        name = next(name for name, sign in NAMED.items() if sign == other)
        notes.append(f"{source.origin} is separated by {name}s, not by commas (data.separator={name})")
    yield from _pieces(source, options, Dialect(separator, quotes, first_line), notes, rows)


def tsv_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """Fields are whatever stands between tabs; quotes are text, unless the file was written with quotes."""
    separator = "\t" if options.separator is None else separator_of(options.separator)
    quotes, notes = options.quotes, []
    if quotes is None:
        quotes = encloses(source, options, separator) if source.again else False
        if quotes:
            notes = [
                f"{source.origin} was written with quotes around fields (data.quotes=false: they are text)"
            ]
    yield from _pieces(source, options, Dialect(separator, quotes), notes, rows)


def _other_separator(source: Source, options: ReadOptions, quotes: bool) -> str:
    """Returns what separates the first rows of a csv file that has no commas there, or ''."""
    for separator in (",", *OTHERS):
        dialect = Dialect(separator, quotes)
        try:
            found = [len(fields) for _, fields in islice(_records(source, options, dialect), LOOKED_AT)]
        except DataError:
            continue
        if len(set(found)) == 1 and found[0] > 1:
            return "" if separator == "," else separator
        if separator == "," and found and found[0] > 1:
            return ""
    return ""


def _pieces(
    source: Source, options: ReadOptions, dialect: Dialect, notes: list[str], rows: int
) -> Iterator[Content]:
    records = _records(source, options, dialect)
    first = next(records, None)
    if first is None:
        return
    header = first[1]
    if options.header is not None:
        names = list(options.header)
        if not set(header) & set(names):  # a file whose first row holds one of these names has its own header
            header, records = names, chain([first], records)
            first = (0, names)
    keys, without_name = _keys(header, f"{source.origin}:{first[0]}", own=options.header is None)
    start, given = 1, first[0] == 0
    while block := list(islice(records, rows)):
        columns = _columns(keys, block, source.origin, dialect, given=given)
        numbers = [number for number, _ in block]
        yield Content(
            columns, numbers, without_name=without_name, headed=not given, first_row=start, notes=notes
        )
        start += len(block)


def _keys(header: list[str], where: str, *, own: bool) -> tuple[list[str], frozenset[str]]:
    """Returns a key for each column, and which of them have no name in the header."""
    require_columns(len(header), where)
    named = Counter(name for name in header if name)
    for name, count in named.items():
        if count > 1:
            hint = "name each column once" if own else "name each column once in data.header"
            if own and _like_a_row(header):
                hint = f"if the file has no header, type {header_word(len(header))} with the names of its columns"
            raise DataError(Problem(where, f"the header names the column {name!r:.80} twice", hint))
    if header.count("") < 2:
        return header, frozenset({""} & set(header))
    keys = []
    for number, name in enumerate(header, 1):
        key = name or f"column{number}"
        while not name and key in named:
            key += "_"
        keys.append(key)
    return keys, frozenset(key for key, name in zip(keys, header, strict=True) if not name)


def _like_a_row(header: Sequence[str]) -> bool:
    return any(re.fullmatch(r"[-+]?\d+(\.\d+)?", name) or len(name.split()) > 4 for name in header)


def header_word(count: int) -> str:
    """Returns the word that names the columns of a file without a header, in quotes for the shell."""
    return shell_word("data.header", [f"NAME{number}" for number in range(1, count + 1)])


def _columns(
    keys: list[str], block: list[tuple[int, list[str]]], origin: str, dialect: Dialect, *, given: bool
) -> dict[str, list[str]]:
    """Returns the columns of rows.

    Raises:
        DataError: a row with more or fewer fields than the header; named with its line.
    """
    rows = [fields for _, fields in block]
    if not set(map(len, rows)) <= {len(keys)}:
        number, fields = next((number, fields) for number, fields in block if len(fields) != len(keys))
        raise DataError(_wrong_width(fields, len(keys), f"{origin}:{number}", dialect, given=given))
    return dict(zip(keys, map(list, zip(*rows, strict=True)), strict=True))


def _wrong_width(fields: list[str], width: int, where: str, dialect: Dialect, *, given: bool) -> Problem:
    expected = f"data.header names {width}" if given else f"the header has {width}"
    if fields == [""]:
        return Problem(where, f"is a blank line, where {expected}", "remove the line")
    message = f"{len(fields)} field{'s' * (len(fields) != 1)} where {expected}"
    if given:
        return Problem(where, message, f"type {header_word(len(fields))} with the names of its columns")
    if dialect.quotes:
        return Problem(where, message, "quote a text with separators or line breaks")
    sign = "tab" if dialect.separator == "\t" else "separator"
    hint = f"a {sign} always separates here; texts with one or with line breaks need quotes (data.quotes=true) or jsonl"
    return Problem(where, message, hint)


def _records(source: Source, options: ReadOptions, dialect: Dialect) -> Records:
    """Yields the rows, without the blank lines at the end of the file; a blank line is one empty field."""
    lines = islice(text_lines(source, options.encoding), dialect.first_line - 1, None)
    found = _enclosed(lines, source.origin, dialect) if dialect.quotes else _plain(lines, dialect)
    blank: list[int] = []
    for number, fields in found:
        if not fields:
            blank.append(number)
            continue
        if blank:
            yield from ((skipped, [""]) for skipped in blank)
            blank.clear()
        yield number, fields


def _plain(lines: Iterator[str], dialect: Dialect) -> Records:
    for number, line in enumerate(lines, dialect.first_line):
        text = line.removesuffix("\n").removesuffix("\r")
        yield number, text.split(dialect.separator) if text else []


def _enclosed(lines: Iterator[str], origin: str, dialect: Dialect) -> Records:
    # The module's limit of 128 KiB a field would refuse long documents.
    csv.field_size_limit(sys.maxsize)
    lines = _no_space_before_quotes(lines, origin, dialect)
    row = _Bounded(origin, dialect.first_line)
    reader = csv.reader(row.counted(_returns_kept(lines)), delimiter=dialect.separator, strict=True)
    line = dialect.first_line
    try:
        for fields in reader:
            row.begin(reader.line_num + dialect.first_line)
            yield (
                line,
                [field.replace(RETURN, "\r") for field in fields] if RETURN in "".join(fields) else fields,
            )
            line = reader.line_num + dialect.first_line
    except csv.Error as error:
        hint = 'a quote in a quoted text is written ""; data.quotes=false: quotes are text'
        raise DataError(Problem(f"{origin}:{line}", f"is not valid csv: {error}", hint)) from error


class _Bounded:
    """Ends a row that a quote holds open over more lines than any row has."""

    def __init__(self, origin: str, line: int) -> None:
        self.origin, self.line, self.length = origin, line, 0

    def begin(self, line: int) -> None:
        """A row begins at a line."""
        self.line, self.length = line, 0

    def counted(self, lines: Iterator[str]) -> Iterator[str]:
        """Yields the lines."""
        for line in lines:
            self.length += len(line)
            if self.length > LONGEST_ROW:
                raise row_without_end(self.origin, self.line)
            yield line


def _no_space_before_quotes(lines: Iterator[str], origin: str, dialect: Dialect) -> Iterator[str]:
    """Refuses `1, "a text"`: by RFC 4180 its quotes are part of the text, and commas in it separate.

    Within a quoted field a quote that ends nothing is doubled, so there is no other reading of such a line.
    """
    sign = re.escape(dialect.separator)
    pattern = re.compile(f'{sign} +"(?!["\r\n{sign}])')
    for number, line in enumerate(lines, dialect.first_line):
        if ' "' in line and pattern.search(line):
            hint = "remove the spaces between separators and quotes"
            raise DataError(
                Problem(f"{origin}:{number}", "has a space before a quote that encloses a text", hint)
            )
        yield line


def _returns_kept(lines: Iterator[str]) -> Iterator[str]:
    """Yields the lines with `RETURN` for lone carriage returns, which csv.reader takes for ends of rows.

    pandas and csv.writer do not quote them where lines end in LF. A file without any LF is of an old Mac.
    """
    for number, line in enumerate(lines):
        if number == 0 and not line.endswith("\n"):
            yield from re.findall(r"[^\r]*\r|[^\r]+", line)
        elif "\r" in line:
            yield LONE_RETURN.sub(RETURN, line)
        else:
            yield line
