"""Bytes -> lines of text, each with the end it has in the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from ftcli.data.bounds import LONGEST_ROW, row_without_end
from ftcli.data.opening import Source, compressed_as
from ftcli.errors import ConfigError, DataError, Problem, did_you_mean

COMMON = (
    "utf-8",
    "utf-16",
    "latin-1",
    "cp1252",
    "cp1251",
    "mac-roman",
    "shift-jis",
    "euc-jp",
    "gb18030",
    "big5",
)
BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def check_encoding(encoding: str) -> None:
    """Raises ConfigError where there is no such encoding of text."""
    try:
        known = codecs.lookup(encoding)._is_text_encoding  # type: ignore[attr-defined]
    except (LookupError, ValueError):
        known = False
    if not known:
        message = f"there is no encoding {encoding!r:.80}"
        raise ConfigError(Problem("data.encoding", message, did_you_mean(encoding, COMMON)))


def is_utf8_after_all(source: Source, encoding: str) -> bool:
    """Returns whether a file that is said to be of an encoding of bytes is UTF-8, with some characters beyond ASCII.

    Text of another encoding is next to never valid UTF-8, while UTF-8 read as latin-1 or cp1252 gives wrong
    characters without an error: such as a UTF-8 file to predict with a run that was trained on cp1252.
    """
    if codecs.lookup(encoding).name.startswith("utf") or not source.again:
        return False
    decoder, beyond = codecs.getincrementaldecoder("utf-8")(), False
    try:
        for chunk, last in _with_last(source.chunks()):
            beyond |= not decoder.decode(chunk, last).isascii()
    except UnicodeDecodeError:
        return False
    return beyond


def text_of(source: Source, encoding: str) -> str:
    """Returns the whole text of a file; see `text_lines`."""
    return "".join(text_lines(source, encoding, bounded=False))


def text_lines(source: Source, encoding: str, *, bounded: bool = True) -> Iterator[str]:
    """Yields lines, which end at a line feed alone: U+2028, form feeds and lone carriage returns are part of a text.

    Args:
        source: of the bytes.
        encoding: of the text; a byte order mark of UTF-8 is left out.
        bounded: a line is a row, or a part of one.

    Raises:
        DataError: bytes that are not of the encoding, a NUL byte, or a line without end; named with their line.
    """
    codec = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    decoder = codecs.getincrementaldecoder(codec)()
    number = 1
    rest: list[str] = []
    length = 0
    for chunk, last in _with_last(source.chunks()):
        try:
            text = decoder.decode(chunk, last)
        except UnicodeError as error:
            raise DataError(_undecodable(source, error, chunk, encoding, number)) from error
        if "\0" in text:
            place = number + text.count("\n", 0, text.index("\0"))
            hint = "save the file as UTF-8" if encoding == "utf-8" else f"is data.encoding={encoding} right?"
            raise DataError(Problem(f"{source.origin}:{place}", "holds a NUL byte: not a text file", hint))
        head, sign, tail = text.partition("\n")
        rest.append(head + sign)
        length += len(head)
        if bounded and length > LONGEST_ROW:
            raise row_without_end(source.origin, number)
        if not sign:
            continue
        yield "".join(rest)
        lines = tail.split("\n")
        rest = [lines.pop()]
        length = len(rest[0])
        for line in lines:
            yield line + "\n"
        number += len(lines) + 1
    if left := "".join(rest):
        yield left


def _with_last(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yields (bytes, whether they are the last)."""
    held = next(chunks, b"")
    for chunk in chunks:
        yield held, False
        held = chunk
    yield held, True


def _undecodable(source: Source, error: UnicodeError, chunk: bytes, encoding: str, number: int) -> Problem:
    """Names the byte and the encoding that it may be of."""
    if not isinstance(error, UnicodeDecodeError):
        return Problem(source.origin, f"is not {encoding}: {error}", "type data.encoding=utf-8, or its own")
    data, start = bytes(error.object), error.start
    line = number + data[:start].decode(encoding, "ignore").count("\n")
    message = f"byte {data[start]:#04x} is not {'UTF-8' if encoding == 'utf-8' else encoding}"
    hint = "save the file as UTF-8, or type data.encoding=NAME"
    if number == 1 and (compression := compressed_as(data)):
        hint = f"its first bytes are those of a {compression} file: add {compression} to its name"
        if compression == ".zip":
            hint += ", or save a spreadsheet as csv"
    elif number == 1 and start < 4:
        if data[:2] in BOMS:
            hint = f"save the file as UTF-8, or type data.encoding={BOMS[data[:2]]}"
    elif encoding == "utf-8":
        other = "cp1252" if _is_cp1252(chunk) else "latin-1"
        hint = (
            f"save the file as UTF-8, or type data.encoding={other} if it is of that (or the name of another)"
        )
    return Problem(f"{source.origin}:{line}", message, hint)


def _is_cp1252(data: bytes) -> bool:
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True
