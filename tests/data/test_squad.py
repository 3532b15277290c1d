"""SQuAD's own files -> a row a question."""

import json

import pytest

from ftcli.batching.rows import Field, Kind
from ftcli.data.content import ReadOptions
from ftcli.data.reading import read_file
from ftcli.data.text import as_rows
from ftcli.errors import DataError

FIELDS = [Field("text", "question"), Field("text_pair", "context"), Field("label", "answers", Kind.label)]
ANSWER = {"text": "Oslo", "answer_start": 8}
FILE = {"version": "v2.0", "data": [
    {"title": "Zoë", "paragraphs": [
        {"context": "She saw Oslo.", "qas": [
            {"id": "1", "question": "What?", "answers": [ANSWER, ANSWER]},
            {"id": "2", "question": "Who?", "answers": [], "is_impossible": True}]},
        {"context": "Nothing.", "qas": []}]},
    {"paragraphs": [{"context": "No title.", "qas": [{"question": "Why?"}]}]},
]}  # fmt: skip


def test_a_row_for_each_question(read):
    content = read(json.dumps(FILE).encode(), "dev.squad")
    assert content.columns == {
        "id": ["1", "2", None],
        "title": ["Zoë", "Zoë", None],
        "context": ["She saw Oslo.", "She saw Oslo.", "No title."],
        "question": ["What?", "Who?", "Why?"],
        "answers": [[ANSWER, ANSWER], [], None],
    }
    assert content.line_numbers is None and len(content.sha256) == 64


def test_a_file_is_read_by_its_format_whatever_its_name(tmp_path):
    (tmp_path / "dev-v1.1.json").write_text(json.dumps(FILE))
    assert (
        len(read_file(tmp_path / "dev-v1.1.json", "--input", ReadOptions(suffix=".squad")).columns["id"]) == 3
    )
    (tmp_path / "dev.squad").write_text(json.dumps(FILE))
    rows = as_rows(read_file(tmp_path / "dev.squad", "--input"), "dev.squad", FIELDS)
    assert rows.where(2) == "dev.squad, row 3"
    with pytest.raises(DataError) as caught:
        read_file(tmp_path / "dev-v1.1.json", "--input")
    assert "data.format=squad" in caught.value.problems[0].hint


@pytest.mark.parametrize(("value", "place", "said"), [
    ([1], "f.json", "holds a list"),
    ({"rows": []}, "f.json, data", "holds null"),
    ({"data": [{"paragraphs": {}}]}, "f.json, data[0].paragraphs", "holds an object"),
    ({"data": [{"paragraphs": ["x"]}]}, "f.json, data[0].paragraphs[0]", "holds text"),
    ({"data": [{"paragraphs": [{"context": 1, "qas": []}]}]}, "f.json, data[0].paragraphs[0].context", "holds a number"),
    ({"data": [{"paragraphs": [{"context": "c", "qas": [{"id": 1}]}]}]}, "f.json, data[0].paragraphs[0].qas[0].question", "holds null"),
    ({"data": []}, "f.json", "no rows"),
])  # fmt: skip
def test_what_is_no_file_of_squad(read, value, place, said):
    with pytest.raises(DataError) as caught:
        read(json.dumps(value).encode(), "f.json", ReadOptions(suffix=".squad"))
    (problem,) = caught.value.problems
    assert problem.key == place and said in problem.message, problem
