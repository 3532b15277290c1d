"""Formats read strictly, values untouched, every mistake named with its line."""

import hashlib
import json

import pyarrow
import pytest
from pyarrow import parquet

from ftcli.data.reading import read_file, read_shards
from ftcli.errors import DataError, SourceError


def problem(function, *arguments):
    with pytest.raises((DataError, SourceError)) as caught:
        function(*arguments)
    return caught.value.problems[0]


def test_tsv_takes_quotes_and_odd_line_breaks_as_text(read):
    text = 'text\tlabel\n"open quote\t1\nNA\tnull\na\u2028b\x0cc\x85d\t0\n\t\n'
    content = read(text.encode(), "f.tsv")
    assert content.columns == {
        "text": ['"open quote', "NA", "a\u2028b\x0cc\x85d", ""],
        "label": ["1", "null", "0", ""],
    }
    assert content.line_numbers == [2, 3, 4, 5]
    assert content.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_csv_follows_rfc_4180(read):
    text = 'text,label\r\n"a, ""b""\r\nc",1\r\nNaN,null\r\n"",0\r\n'
    content = read(text.encode(), "f.csv")
    assert content.columns == {"text": ['a, "b"\r\nc', "NaN", ""], "label": ["1", "null", "0"]}
    assert content.line_numbers == [2, 4, 5]


def test_csv_fields_may_be_long(read):
    assert read(f"text,label\n{'x' * 200_000},1\n".encode(), "f.csv").columns["text"] == ["x" * 200_000]


@pytest.mark.parametrize(
    ("suffix", "text"),
    [(".tsv", "text\tlabel\r\na\t1\r\nb\t0\r\n\r\n"), (".csv", "text,label\r\na,1\r\nb,0"),
     (".jsonl", '{"text": "a", "label": "1"}\r\n{"text": "b", "label": "0"}\r\n\r\n')],
)  # fmt: skip
def test_byte_order_marks_and_crlf(read, suffix, text):
    assert read(b"\xef\xbb\xbf" + text.encode(), "f" + suffix).columns == {
        "text": ["a", "b"],
        "label": ["1", "0"],
    }


def test_json_and_jsonl_keep_values_as_they_are(read):
    rows = [{"text": "NA", "label": 1}, {"label": None, "text": "null", "more": [1]}, {"text": 3.5}]
    expected = {"text": ["NA", "null", 3.5], "label": [1, None, None], "more": [None, [1], None]}
    assert read(json.dumps(rows).encode(), "f.json").columns == expected
    lines = "\n\n".join(map(json.dumps, rows))
    content = read(lines.encode(), "f.jsonl")
    assert (content.columns, content.line_numbers) == (expected, [1, 3, 5])


def test_one_column_may_hold_empty_texts(read):
    assert read(b"text\na\n\nb\n", "f.tsv").columns == {"text": ["a", "", "b"]}
    assert read(b"text\na\n\nb\n", "f.csv").columns == {"text": ["a", "", "b"]}


@pytest.mark.parametrize(
    ("suffix", "data", "where", "message"),
    [
        (".tsv", b"text\tlabel\na\t1\nb\n", "f.tsv:3", "1 field where the header has 2"),
        (".tsv", b"text\tlabel\na\tb\t1\n", "f.tsv:2", "3 fields where the header has 2"),
        (".tsv", b"text\tlabel\na\t1\n\nb\t0\n", "f.tsv:3", "is a blank line, where the header has 2"),
        (".tsv", b"text\ttext\na\t1\n", "f.tsv:1", "the header names the column 'text' twice"),
        (".tsv", b"text\tlabel\nok\t1\ncaf\xe9\t0\n", "f.tsv:3", "byte 0xe9 is not UTF-8"),
        (".tsv", "text\tlabel\na\t1\n".encode("utf-16"), "f.tsv:1", "byte 0xff is not UTF-8"),
        (".tsv", b"text\tlabel\na\0b\t1\n", "f.tsv:2", "holds a NUL byte: not a text file"),
        (".csv", b'text,label\n"a\nb",1\nc,0,1\n', "f.csv:4", "3 fields where the header has 2"),
        (".csv", b'text,label\na,1\n"b,0\nc,1\n', "f.csv:3", "is not valid csv: unexpected end of data"),
        (".csv", b'text,label\n"a"b,1\n', "f.csv:2", "is not valid csv: ',' expected after '\"'"),
        (".json", b'[{"text": "a"},\n{"text": }]', "f.json:2", "is not valid JSON: Expecting value"),
        (".json", b'{"text": "a"}\n{"text": "b"}', "f.json:2", "is not valid JSON: Extra data"),
        (".json", b'{"text": "a"}', "f.json", "holds an object"),
        (".json", b'[{"text": "a"}, "b"]', "f.json, row 2", "holds text"),
        (".json", b"[" * 100_000, "f.json", "is not valid JSON: "),
        (".jsonl", b'{"text": "a"}\n\n{"text": \n', "f.jsonl:3", "is not valid JSON: Expecting value"),
        (".jsonl", b'{"text": "a"}\n["b"]\n', "f.jsonl:2", "holds a list"),
        (
            ".jsonl",
            b'{"text": "a"}\n{"text": "b", "text": "c"}\n',
            "f.jsonl:2",
            "an object names the key 'text' 2 times, with 'b' and 'c'",
        ),
        (
            ".jsonl",
            b'{"q": {"stem": "b", "stem": "c"}}\n',
            "f.jsonl:1",
            "an object names the key 'stem' 2 times",
        ),
        (
            ".json",
            b'[{"label": 0, "label": 1}]',
            "f.json",
            "an object names the key 'label' 2 times, with 0 and 1",
        ),
        (".parquet", b"PAR1 not really", "f.parquet", "is not a parquet file: "),
        (".tsv", b"", "f.tsv", "the file is empty"),
        (".json", b" \n", "f.json", "the file is empty"),
        (".tsv", b"\xef\xbb\xbf", "f.tsv", "the file has no rows"),
        (".tsv", b"text\tlabel\n", "f.tsv", "the file has no rows"),
        (".csv", b"text,label\n\n\n", "f.csv", "the file has no rows"),
        (".json", b"[]", "f.json", "the file has no rows"),
        (".doc", b"a\n", "data.path", "f.doc is in no known format: '.doc' is its suffix"),
    ],
)
def test_mistakes_are_named_with_their_line(read, suffix, data, where, message):
    found = problem(read, data, "f" + suffix)
    assert found.key == where
    assert found.message.startswith(message)


def test_a_missing_file_names_what_is_near(tmp_path):
    (tmp_path / "train.tsv").write_text("text\na\n")
    found = problem(read_file, tmp_path / "trian.tsv", "data.files.train")
    assert found.key == "data.files.train"
    assert found.hint == f"did you mean {tmp_path / 'train.tsv'}?"
    assert (
        problem(read_file, tmp_path / "no" / "x.tsv", "k").hint
        == f"the folder {tmp_path / 'no'} does not exist either"
    )
    assert problem(read_file, tmp_path, "k").message == f"{tmp_path} cannot be read: Is a directory"


def write_parquet(file, table):
    parquet.write_table(table, file)
    return file


def test_parquet_with_the_class_names_of_hugging_face(tmp_path):
    features = {"text": {"dtype": "string"}, "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    table = pyarrow.table({
        "text": pyarrow.array(["NA", ""]).dictionary_encode(),
        "label": [1, 0],
        "vector": [[0.1], [0.2]],
    }).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})  # fmt: skip
    content = read_file(write_parquet(tmp_path / "a.parquet", table), "k")
    assert {name: list(values) for name, values in content.columns.items()} == {
        "text": ["NA", ""], "label": [1, 0], "vector": [[0.1], [0.2]],
    }  # fmt: skip
    assert content.class_names == {"label": ["neg", "pos"]}
    assert content.line_numbers is None


def test_damaged_metadata_of_a_parquet_file_declares_nothing(tmp_path):
    table = pyarrow.table({"text": ["a"]}).replace_schema_metadata({"huggingface": "{"})
    assert read_file(write_parquet(tmp_path / "a.parquet", table), "k").class_names == {}


def test_shards_are_one_content(tmp_path):
    first = write_parquet(tmp_path / "train-00000-of-00002.parquet", pyarrow.table({"text": ["a", "b"]}))
    second = write_parquet(tmp_path / "train-00001-of-00002.parquet", pyarrow.table({"text": ["c"]}))
    content = read_shards([first, second], "k")
    assert content.columns == {"text": ["a", "b", "c"]}
    assert content.sha256 != read_shards([second, first], "k").sha256
    other = write_parquet(tmp_path / "other.parquet", pyarrow.table({"words": ["c"]}))
    assert (
        problem(read_shards, [first, other], "k").message == f"its columns differ from those of {first.name}"
    )
