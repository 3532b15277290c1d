"""Columns that are paths into nested ones, CoNLL files, and files read piece by piece."""

import json
import tracemalloc

import numpy as np
import pytest

from ftcli.batching.rows import Rows
from ftcli.data.content import ReadOptions
from ftcli.data.nested import add_nested
from ftcli.data.reading import pieces, read_file
from ftcli.errors import DataError, FtcliError, SourceError

VALUE = {"stem": "why", "choices": [{"text": "a", "label": "A"}, {"text": "b"}], "words": ["x", "y"]}


@pytest.mark.parametrize(("path", "expected"), [
    ("q.stem", "why"),
    ("q.choices[].text", ["a", "b"]),
    ("q.choices[].label", ["A", None]),
    ("q.words[]", ["x", "y"]),
    ("q.words", ["x", "y"]),
    ("q.nothing", None),
    ("q.stem.deeper", None),
    ("q.stem[].text", None),
])  # fmt: skip
def test_paths(path, expected):
    rows = add_nested(Rows("train", {"q": [VALUE]}, "f", "00"), [path])
    assert rows.columns[path] == [expected] and rows.derived == {path}


@pytest.mark.parametrize("text", [json.dumps(VALUE), repr(VALUE)])
def test_paths_into_objects_written_as_text(text):
    rows = add_nested(Rows("train", {"q": [text, "no object"]}, "f", "00"), ["q.stem", "q.choices[].text"])
    assert rows.columns["q.stem"] == ["why", None] and rows.columns["q.choices[].text"] == [["a", "b"], None]


@pytest.mark.parametrize("text", ['{"stem": "why", "stem": "how"}', "{'stem': 'why', 'stem': 'how'}"])
def test_a_cell_that_names_a_key_twice_is_refused_with_its_line(text):
    rows = Rows("train", {"q": ["{}", text]}, "f.csv", "00", np.array([2, 5]))
    with pytest.raises(DataError, match=r"f\.csv:5: an object names the key 'stem' 2 times"):
        add_nested(rows, ["q.stem"])


def test_a_column_of_that_very_name_wins_and_an_unknown_one_adds_nothing():
    rows = add_nested(Rows("train", {"q.stem": [1], "q": [VALUE]}, "f", "00"), ["q.stem", "other.stem", "q"])
    assert rows.columns == {"q.stem": [1], "q": [VALUE]} and rows.derived == frozenset()


CONLL = "-DOCSTART-\tO\n\nEU\tX\tB-ORG\nrejects\tX\tO\n\t\n\n#\tO\r\n\u200b\tO\n"


def test_conll(tmp_path):
    (tmp_path / "a.conll").write_text(CONLL)
    content = read_file(tmp_path / "a.conll", "k")
    assert list(content.columns.values()) == [
        [["EU", "rejects"], ["#", "\u200b"]],
        [["B-ORG", "O"], ["O", "O"]],
    ]
    assert content.line_numbers == [3, 7] and content.unnamed
    (tmp_path / "b.txt").write_text("EU B-ORG\nrejects O\n")
    assert read_file(tmp_path / "b.txt", "k", ReadOptions(suffix=".conll")).columns["words"] == [
        ["EU", "rejects"]
    ]
    (tmp_path / "c.conll").write_text("EU O\nrejects\n")
    with pytest.raises(DataError, match=r"c\.conll:2.*one field"):
        read_file(tmp_path / "c.conll", "k")


FILES = {
    ".tsv": "a\tb\n" + "".join(f"x{i}\t{i}\n" for i in range(25)) + "\n\n",
    ".csv": "a,b\n" + "".join(f'"x\n{i}",{i}\n' for i in range(25)),
    ".jsonl": "".join(json.dumps({"a": f"x{i}", "b": i}) + "\n\n" for i in range(25)),
    ".json": json.dumps([{"a": f"x{i}", "b": i} for i in range(25)]),
    ".conll": "".join(f"x{i}\tO\ny\tO\n\n" for i in range(25)),
}


@pytest.mark.parametrize("suffix", FILES)
def test_pieces_are_the_whole_file(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_text(FILES[suffix])
    whole = read_file(file, "k")
    found = list(pieces(str(file), "k", rows=10))
    assert len(found) == (1 if suffix == ".json" else 3)
    for name, values in whole.columns.items():
        assert [v for piece in found for v in piece.columns[name]] == values
    if whole.line_numbers:
        assert [n for piece in found for n in piece.line_numbers] == whole.line_numbers


def test_pieces_of_parquet(tmp_path):
    import pyarrow
    from pyarrow import parquet

    values = [{"stem": f"x{i}", "choices": ["a", "b"]} for i in range(25)]
    parquet.write_table(pyarrow.table({"q": values, "image": [b"x"] * 25}), tmp_path / "a.parquet")
    found = list(pieces(str(tmp_path / "a.parquet"), "k", rows=10))
    assert [len(piece.columns["q"]) for piece in found] == [10, 10, 5]
    assert [v for piece in found for v in piece.columns["q"]] == values and list(
        found[0].columns["image"]
    ) == [b"x"] * 10


@pytest.mark.parametrize(("name", "text", "said"), [
    ("a.tsv", "a\tb\n" + "x\ty\n" * 12 + "z\n", r"a\.tsv:14.*1 field"),
    ("a.csv", 'a,b\nx,y\n"open,z\n', r"a\.csv:3.*not valid csv"),
    ("a.jsonl", '{"a": 1}\n' * 12 + "nonsense\n", r"a\.jsonl:13.*not valid JSON"),
    ("a.tsv", "a\tb\n", "no rows"),
    ("a.tsv", "", "file is empty"),
    ("a.tsv", "a\tb\n\udcff\ty\n", r"a\.tsv:2.*0xff is not UTF-8"),
    ("a.tsv", "a\tb\nx\0\ty\n", r"a\.tsv:2.*NUL"),
    ("a.doc", "a", "no known format"),
])  # fmt: skip
def test_mistakes_are_named_with_their_line(tmp_path, name, text, said):
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FtcliError, match=said):
        list(pieces(str(tmp_path / name), "k", rows=10))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="there is no"):
        list(pieces(str(tmp_path / "a.tsv"), "k"))


def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for rows in (10_000, 40_000):
        with (tmp_path / "a.jsonl").open("w") as file:
            for i in range(rows):
                file.write(json.dumps({"text": f"a text of some words {i}"}) + "\n")
        tracemalloc.start()
        for _ in pieces(str(tmp_path / "a.jsonl"), "k"):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2
