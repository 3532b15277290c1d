"""Text files whose encoding or quotes must be found out."""

import csv

import pytest

from ftcli.data.content import ReadOptions
from ftcli.errors import FtcliError


@pytest.mark.parametrize(("data", "encoding"), [("text\tlabel\ncafé\t1\n".encode("cp1252"), "cp1252"),
                                                ("text\tlabel\ncafé\t1\n".encode("utf-16"), "utf-16"),
                                                (b"text\tlabel\ncaf\x81\t1\n", "latin-1")])  # fmt: skip
def test_another_encoding_is_answered_by_its_word(read, data, encoding):
    with pytest.raises(FtcliError) as caught:
        read(data, "f.tsv")
    assert f"type data.encoding={encoding}" in caught.value.problems[0].hint
    text = read(data, "f.tsv", ReadOptions(encoding=encoding)).columns["text"]
    assert text == [data.decode(encoding).split("\n")[1].split("\t")[0]]


def test_quotes_of_a_tsv_are_text_unless_the_file_was_written_with_them(read):
    written = b'text\tlabel\n"a\t""b"""\t1\nc\t0\n'
    content = read(written, "f.tsv")
    assert content.columns["text"] == ['a\t"b"', "c"]
    assert content.notes == ["f.tsv was written with quotes around fields (data.quotes=false: they are text)"]
    plain = b'text\tlabel\n"all of it"\t1\nan "open quote\t0\n'
    assert read(plain, "f.tsv").columns["text"] == ['"all of it"', 'an "open quote']
    # Quotes around whole texts prove nothing: a program that quotes would not have quoted these.
    whole = b'text\tlabel\n"all of it"\t1\nb\t0\n'
    assert read(whole, "f.tsv").columns["text"] == ['"all of it"', "b"]
    assert read(whole, "f.tsv", ReadOptions(quotes=True)).columns["text"] == [
        "all of it",
        "b",
    ]


def test_a_long_document_is_no_proof_against_quotes(read):
    """The csv module's limit of 128 KiB a field made the reading of a tsv depend on what was read before it."""
    before = csv.field_size_limit(131_072)
    try:
        content = read(b'text\tlabel\n"a\tb"\t1\n' + b"x" * 200_000 + b"\t0\n", "f.tsv")
    finally:
        csv.field_size_limit(before)
    assert content.columns["text"] == ["a\tb", "x" * 200_000]
