"""Cells go out as they came in; guarding a spreadsheet is asked for, and never touches a number."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftcli.batching.rows import Rows
from ftcli.errors import DataError
from ftcli.inference.row_writer import RowWriter

SIGNS = ["-1", "@carrier where is it", "=nice", "+49 30 1", "- a list", "plain"]


def written(suffix: str, columns: dict, added=(), cells=None, **flags) -> tuple[str, RowWriter]:
    rows, stream = Rows("predict", columns, "x", ""), io.StringIO(newline="")
    writer = RowWriter(stream, suffix, rows, list(added), **flags)
    writer.write(rows, cells or [[]] * len(rows))
    return stream.getvalue(), writer


def test_signs_at_the_beginning_of_a_cell_are_kept():
    text, _ = written(".csv", {"id": SIGNS, "=title": SIGNS})
    assert list(csv.reader(io.StringIO(text))) == [["id", "=title"], *([s, s] for s in SIGNS)]
    text, _ = written(".tsv", {"id": SIGNS, "=title": SIGNS})
    assert text == "id\t=title\n" + "".join(f"{s}\t{s}\n" for s in SIGNS)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_spreadsheet_is_guarded_where_that_is_asked_for(suffix):
    numbers = ["-1", "+3.5", "-1e-05", "-1,5", "+.5", "-12%"]
    formulas = ["=1+1", "+1+1", "-1-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\uff1d1+1", "-"]
    text, writer = written(suffix, {"=id": [*numbers, *formulas], "n": [-1] * 13}, safe_csv=True)
    out = [row[0] for row in csv.reader(io.StringIO(text), delimiter="," if suffix == ".csv" else "\t")]
    assert out == ["'=id", *numbers, *("'" + formula for formula in formulas)]
    assert writer.num_guarded == 1 + len(formulas)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_csv_is_read_back_cell_for_cell(rows):
    text, _ = written(".csv", {"a": [a for a, _ in rows], "b": [b for _, b in rows]})
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:] == [list(row) for row in rows]


def test_half_of_a_character_is_an_escape_in_jsonl_and_refused_elsewhere(tmp_path):
    columns = {"text": ["good \ud83d"]}
    text, _ = written(".jsonl", columns)
    assert text.isascii() and json.loads(text) == {"text": "good \ud83d"}
    for suffix in (".csv", ".tsv"):
        with (
            (tmp_path / "out").open("w", encoding="utf-8") as file,
            pytest.raises(DataError, match="half of"),
        ):
            writer = RowWriter(file, suffix, rows := Rows("predict", columns, "x", ""), [])
            writer.write(rows, [[]])


def test_an_added_column_that_the_input_has_gets_another_name():
    text, _ = written(".csv", {"prediction": ["a"]}, ["prediction"], [["b"]])
    assert text == "prediction,prediction_\na,b\n"


def test_columns_that_have_the_names_of_the_added_ones_a_thousand_times_over():
    taken = ["prediction" + "_" * number for number in range(2_000)]
    writer = RowWriter(
        io.StringIO(), ".csv", Rows("new", {name: [] for name in taken}, "file", ""), ["prediction"]
    )
    assert writer.added == ["prediction" + "_" * 2_000]
