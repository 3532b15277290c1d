"""conll and conllu -> pieces of content: a word and its tag a line, an empty line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from ftcli.data.content import Content, ReadOptions
from ftcli.data.decoding import text_lines
from ftcli.data.opening import Source
from ftcli.errors import ConfigError, DataError, Problem

COMMENT = re.compile(r"#\s+(\S+\s*=|(id|text|sent_id|sent-id|newdoc|newpar|global\.columns)\b)")
"""Lines that describe a sentence, as CoNLL-U and MultiCoNER have them; `#tag O` and `# O` are words."""
FORM, UPOS = 2, 4
"""Fields of CoNLL-U (https://universaldependencies.org/format.html), from 1: the word and its part of speech."""
UNIVERSAL_FIELDS = 10
RANGE = re.compile(r"\d+[-.]\d+")
Sentence = tuple[int, list[str], list[str]]
"""Line of its first word, words, tags."""


def conll_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """Two columns of lists, without names.

    Of more than two fields (separated by tabs, else by spaces) the first is the word and the last the tag,
    unless the options say others. Lines that begin with -DOCSTART- mark documents and are left out.
    """
    yield from _pieces(source, options, rows, options.word_field or 1, options.tag_field, universal=False)


def conllu_pieces(source: Source, options: ReadOptions, rows: int) -> Iterator[Content]:
    """CoNLL-U: words are FORM, tags UPOS, unless the options say others.

    Ranges of contracted words (`1-2`) and empty nodes (`1.1`) are left out: the words that stand below
    a range are those with tags.
    """
    word, tag = options.word_field or FORM, options.tag_field or UPOS
    yield from _pieces(source, options, rows, word, tag, universal=True)


def _pieces(
    source: Source, options: ReadOptions, rows: int, word: int, tag: int | None, *, universal: bool
) -> Iterator[Content]:
    lines = enumerate(text_lines(source, options.encoding), 1)
    sentences = _sentences(lines, source.origin, word, tag, universal=universal)
    start = 1
    while block := list(islice(sentences, rows)):
        numbers, words, tags = (list(column) for column in zip(*block, strict=True))
        yield Content({"words": words, "tags": tags}, numbers, unnamed=True, first_row=start)
        start += len(block)


def _sentences(
    lines: Iterator[tuple[int, str]], origin: str, word: int, tag: int | None, *, universal: bool
) -> Iterator[Sentence]:
    """Yields the sentences.

    Raises:
        DataError: a line with another number of fields than the first of its sentence, or too few.
    """
    width, before = 0, 0
    start, words, tags = 0, [], []  # type: ignore[var-annotated]
    for number, raw in lines:
        line = raw.rstrip(" \t\r\n")
        if not line or line.startswith("-DOCSTART-"):
            if words:
                yield start, words, tags
            words, tags, width = [], [], 0
            continue
        fields = line.split("\t") if "\t" in line else [field for field in line.split(" ") if field]
        if line.startswith("#") and _is_comment(line, fields, width or before, universal=universal):
            continue
        where = f"{origin}:{number}"
        if universal and not fields[0].isdecimal():
            if not RANGE.fullmatch(fields[0]):
                message = f"its first field is {fields[0][:40]!r}, where CoNLL-U has a number"
                raise DataError(Problem(where, message, "a word and its tag a line: type data.format=conll"))
            continue
        width = before = width or len(fields)
        if len(fields) != width or len(fields) < 2:
            raise DataError(_wrong_width(line, fields, width, where))
        if not universal and not words and width == UNIVERSAL_FIELDS and fields[0] == "1":
            hint = "type data.format=conllu; data.word_field and data.tag_field choose other fields"
            raise DataError(Problem(where, "is a line of CoNLL-U: its first field is a number", hint))
        if max(word, tag or 1) > width:
            key = "data.word_field" if word > width else "data.tag_field"
            raise ConfigError(
                Problem(
                    key, f"is {word if word > width else tag}; {where} has {width} fields", f"type {key}=2"
                )
            )
        start = start if words else number
        words.append(fields[word - 1])
        tags.append(fields[tag - 1 if tag else -1])
    if words:
        yield start, words, tags


def _is_comment(line: str, fields: list[str], width: int, *, universal: bool) -> bool:
    if universal:
        return True
    return bool(COMMENT.match(line)) and not (width and "\t" in line and len(fields) == width)


def _wrong_width(line: str, fields: list[str], width: int, where: str) -> Problem:
    if len(fields) < 2:
        message = f"one field, {line[:40]!r}, where a word and its tag are expected"
        return Problem(where, message, "separate them by a tab or a space")
    message = f"{len(fields)} fields, where the lines before have {width}: {line[:60]!r}"
    return Problem(where, message, "every line has as many fields; a comment line begins with '# name = '")
