"""predict: the rows of a file, unchanged, with the columns of a model."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest


def rows_of(path: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(Path(path).read_bytes().decode(), newline="")))


def test_signs_go_out_as_they_came_and_are_guarded_on_demand(ftcli, trained):
    source = "id,text\n-1,@film was good\n2,=the film was bad\n"
    Path("in.csv").write_text(source)
    done = ftcli("predict", str(trained), "-i", "in.csv", "-o", "out.csv")
    assert done.code == 0, done.err
    assert [row[:2] for row in rows_of("out.csv")] == rows_of("in.csv")
    done = ftcli("predict", str(trained), "-i", "in.csv", "-o", "safe.csv", "--safe-csv")
    assert done.code == 0 and "before 2 cells" in " ".join(done.out.split())
    assert [row[:2] for row in rows_of("safe.csv")] == [
        ["id", "text"],
        ["-1", "'@film was good"],
        ["2", "'=the film was bad"],
    ]
    done = ftcli("predict", str(trained), "-i", "in.csv", "--safe-csv")
    assert done.code == 2 and "--safe-csv" in done.err


@pytest.mark.parametrize(("name", "text"), [("csv", "id,text\n7,the film was good\n"), ("tsv", "id\ttext\n7\tthe film was good\n"),
                                            ("jsonl", '{"id": "7", "text": "the film was good"}\n'),
                                            ("json", '[{"id": "7", "text": "the film was good"}]')])  # fmt: skip
def test_stdin_in_any_format(ftcli, trained, monkeypatch, name, text):
    class Stdin:
        buffer = io.BytesIO(text.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    done = ftcli("predict", str(trained), "-i", "-", "--format", name)
    assert done.code == 0, done.err
    assert list(json.loads(done.out).items())[:2] == [("id", "7"), ("text", "the film was good")]


def test_the_folder_of_the_output_must_be_there(ftcli, trained):
    Path("in.csv").write_text("text\ngood\n")
    done = ftcli("predict", str(trained), "-i", "in.csv", "-o", "a b/out.csv")
    assert done.code == 2 and "mkdir -p 'a b'" in done.err


def test_a_picture_has_a_suffix_and_no_link(ftcli, trained):
    done = ftcli("evaluate", str(trained), "-o", "matrix.gif")
    assert done.code == 2 and ".png, .svg" in done.err
    Path("matrix.png").symlink_to("elsewhere.png")
    done = ftcli("evaluate", str(trained), "-o", "matrix.png")
    assert done.code == 2 and "is a link" in done.err and not Path("elsewhere.png").exists()
