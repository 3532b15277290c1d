"""predict: the rows of a file, unchanged, with the columns of a model."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ftcli.inference.predict import predict_file


def rows_of(path: str | Path) -> list[list[str]]:
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


CELL = st.text(st.sampled_from(list("ab ,;'\"\t\r\né\u2028-=@")), min_size=1, max_size=8)
ONE = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)


def predicted(loaded, source, target) -> None:
    predict_file({"run": loaded}, [str(source)], str(target))


@ONE
@given(rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6), packed=st.booleans())
def test_csv_less_the_added_columns_is_the_input(tmp_path, loaded, rows, packed):
    """Carriage returns and quotes in cells, two columns without a name, signs: cell for cell."""
    source = tmp_path / ("in.csv.gz" if packed else "in.csv")
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["", "text", ""], *rows])
    data = text.getvalue().encode()
    source.write_bytes(gzip.compress(data) if packed else data)
    predicted(loaded, source, tmp_path / "out.csv")
    assert [row[:3] for row in rows_of(tmp_path / "out.csv")] == [["", "text", ""], *map(list, rows)]


@ONE
@given(rows=st.lists(st.fixed_dictionaries({"text": CELL}, optional={"a": VALUES, "b": st.lists(VALUES, max_size=2)}), min_size=1, max_size=6))  # fmt: skip
def test_jsonl_less_the_added_keys_is_the_input(tmp_path, loaded, rows):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predicted(loaded, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().split("\n")[:-1]]
    own = [{k: v for k, v in row.items() if k in ("text", "a", "b")} for row in out]
    assert own == rows and all(row["prediction"] in ("negative", "positive") for row in out)


@ONE
@given(rows=st.lists(st.tuples(*[CELL.map(lambda t: t.translate({9: "T", 10: "N", 13: "R"}))] * 2), min_size=1, max_size=6))  # fmt: skip
def test_tsv_less_the_added_columns_is_the_input(tmp_path, loaded, rows):
    lines = ["text\tid", *("\t".join(row) for row in rows)]
    (tmp_path / "in.tsv").write_text("\n".join(lines) + "\n", newline="")
    predicted(loaded, tmp_path / "in.tsv", tmp_path / "out.tsv")
    out = (tmp_path / "out.tsv").read_bytes().decode().split("\n")[:-1]
    assert [line.split("\t")[:2] for line in out] == [line.split("\t") for line in lines]


def test_every_type_of_parquet_comes_through_in_order(tmp_path, loaded):
    values = {"when": [datetime(2026, 1, 2, 3, 4, 5)], "day": [date(2026, 1, 2)], "price": [Decimal("-1.50")],
              "text": ["the film was good"], "vector": [[0.5, -1.0]], "image": [b"\x00\xff"]}  # fmt: skip
    parquet.write_table(pyarrow.table(values), tmp_path / "in.parquet")
    predicted(loaded, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    predicted(loaded, tmp_path / "in.parquet", tmp_path / "out.csv")
    expected = {"when": "2026-01-02T03:04:05", "day": "2026-01-02", "price": "-1.50", "text": "the film was good",
                "vector": [0.5, -1.0], "image": "AP8="}  # fmt: skip
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert list(row.items())[:6] == list(expected.items())
    assert rows_of(tmp_path / "out.csv")[1][:6] == [
        v if isinstance(v, str) else json.dumps(v) for v in expected.values()
    ]


def test_rows_of_several_files_say_where_they_come_from(ftcli, trained):
    Path("a.csv").write_text('id,text\n1,"the film\nwas good"\n2,bad\n')
    Path("b.csv").write_text("id,text\n3,good\n")
    done = ftcli("predict", str(trained), "-i", "a.csv", "-i", "b.csv", "-o", "out.csv")
    assert done.code == 0, done.err
    head, *rows = rows_of("out.csv")
    assert head[:5] == ["id", "text", "file", "line", "prediction"]
    assert [(r[0], *r[2:4]) for r in rows] == [
        ("1", "a.csv", "2"),
        ("2", "a.csv", "4"),
        ("3", "b.csv", "2"),
    ]
    Path("c.csv").write_text("text,other\nx,y\n")
    done = ftcli("predict", str(trained), "-i", "a.csv", "-i", "c.csv", "-o", "none.csv")
    assert done.code == 2 and "c.csv" in done.err and "differ" in done.err and not Path("none.csv").exists()
    done = ftcli("predict", str(trained), "-i", "a.csv", "-i", "b.csv", "-o", "b.csv", "--force")
    assert done.code == 2 and "is the input file" in done.err


def test_a_format_that_the_name_contradicts_is_refused(ftcli, trained):
    Path("in.jsonl").write_text('{"text": "good"}\n')
    done = ftcli("predict", str(trained), "-i", "in.jsonl", "--format", "conll")
    assert done.code == 2 and "in.jsonl is jsonl" in done.err
    Path("rows").write_text("text\ngood\n")
    assert ftcli("predict", str(trained), "-i", "rows", "--format", "csv").code == 0


def test_rows_of_a_drawn_part_name_their_file_and_line(ftcli, tiny, tmp_path):
    rows = tmp_path / "rows"
    (rows / "validation.tsv").unlink()
    words = [*tiny, "data.validation_share=0.2", "trainer.max_steps=1"]
    done = ftcli("train", *words, "--run-dir", "run")
    assert done.code == 0, done.err
    source = (rows / "train.tsv").read_text().split("\n")
    saved = [json.loads(line) for line in Path("run/predictions/validation.jsonl").read_text().splitlines()]
    assert [row["row"] for row in saved] == list(range(len(saved)))
    for row in saved:
        assert Path(row["file"]).name == "train.tsv"
        assert source[row["line"] - 1].split("\t")[1] == row["label"]
    assert len({row["line"] for row in saved}) == len(saved)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_another_encoding_is_no_traceback(trained, monkeypatch, tmp_path, encoding):
    from ftcli.cli.app import main

    (tmp_path / "in.csv").write_text("text\nthe film was gööd €\n", encoding="utf-8")
    for arguments in (
        ["predict", str(trained), "-i", str(tmp_path / "in.csv")],
        ["compare", "rüns/€", "rüns/b"],
    ):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        monkeypatch.setattr("sys.argv", ["ftcli", *arguments])
        with contextlib.suppress(SystemExit):
            main()
        out.flush()
        err.flush()
        if arguments[0] == "predict":
            assert json.loads(out.buffer.getvalue().decode("utf-8"))["text"] == "the film was gööd €"
        else:
            assert b"\\u20ac" in err.buffer.getvalue() and b"Traceback" not in err.buffer.getvalue()
