"""Answers to questions as they stand in a file, and those that mean nothing."""

import numpy as np
import pytest
from qa_rows import make, task, tokenizer_of

from ftcli.batching.rows import DatasetSplits
from ftcli.errors import ConfigError, DataError


@pytest.mark.parametrize("answers", [
    {"text": ["good", "film"], "answer_start": [13, 4]},
    [{"text": "good", "answer_start": 13}, {"text": "film", "answer_start": 4}],
    '{"text": ["good", "film"], "answer_start": [13, 4]}',
])  # fmt: skip
def test_forms_of_answers(answers, tmp_path):
    rows = make(question=["was it"], context=["the film was good"], answers=[answers])
    table = task().encode(rows, tokenizer_of(tmp_path, "bert", 24))
    assert table.labels.tolist() == [[13, 17]] and table.extras["answers"].tolist() == [[13, 17], [4, 8]]
    row = task().prediction_row(np.array([4, 8, 1.5, 0.25]), table, rows, 0)
    assert row == {"label": ["good", "film"], "prediction": "film", "score": 1.5, "probability": 0.25}
    assert task().read_back([row])["answers"] == (["film"], [["good", "film"]])
    again = make(question=["q"], context=["film"], answers=[{"text": "film", "answer_start": 0}])
    assert task().read_labels(again).tolist() == [[0, 4]]


@pytest.mark.parametrize(("answers", "said", "hint"), [
    ([{"text": "good", "answer_start": 12}], "'good' does not stand at character 12 of the context; there stands ' goo'", "it stands at 13"),
    ([{"text": "Good", "answer_start": 13}], "there stands 'good'", "does not hold this text"),
    ([{"text": "good", "answer_start": -1}], "at character -1", "it stands at 13"),
    ([{"text": "good", "answer_start": 99}], "there stands ''", "it stands at 13"),
    ([{"text": "", "answer_start": 0}], "''", "empty where there is none"),
    ([{"text": "good"}], "None", "expected"),
    ({"text": ["good"], "answer_start": []}, "the answers are", "expected"),
    ("good", "'good'", "expected"),
    ('{"text": "good", "text": "bad", "answer_start": 0}', "an object names the key 'text' 2 times", "leave one of them"),
    (7, "7", "expected"),
    (None, "missing", "empty list"),
])  # fmt: skip
def test_answers_that_mean_nothing(answers, said, hint):
    good = [{"text": "good", "answer_start": 13}]
    rows = make(question=["q"] * 2, context=["the film was good"] * 2, answers=[good, answers])
    with pytest.raises(DataError) as caught:
        task().learn_labels(DatasetSplits(rows, None, None))
    (problem,) = caught.value.problems
    assert problem.key == "train.jsonl:2" and said in problem.message and hint in problem.hint, problem


def test_characters_of_an_answer_are_counted_not_bytes():
    context = "👨‍👩‍👧 Zoë was good"
    rows = make(
        question=["q"], context=[context], answers=[[{"text": "good", "answer_start": context.index("good")}]]
    )
    assert task().learn_labels(DatasetSplits(rows, None, None)) == ["start", "end"]
    rows.columns["answers"] = [[{"text": "good", "answer_start": len("👨‍👩‍👧 Zoë was ".encode())}]]
    with pytest.raises(DataError) as caught:
        task().learn_labels(DatasetSplits(rows, None, None))
    assert "it stands at 14" in caught.value.problems[0].hint


def test_rows_without_answers_need_a_threshold_and_some_with_answers():
    good, none = [{"text": "good", "answer_start": 0}], []
    rows = make(question=["q"] * 3, context=["good"] * 3, answers=[good, none, none])
    with pytest.raises(ConfigError, match="2 of 3 training rows have none") as caught:
        task().learn_labels(DatasetSplits(rows, None, None))
    assert caught.value.problems[0].hint == "type task.null_threshold=0"
    assert task(null_threshold=0.0).learn_labels(DatasetSplits(rows, None, None)) == ["start", "end"]
    with pytest.raises(DataError, match="none of the 3"):
        task().learn_labels(DatasetSplits(make(question=["q"] * 3, context=["good"] * 3, answers=[none] * 3), None, None))  # fmt: skip
    bare = make("test", question=["q"], context=["good"])
    assert task().read_labels(bare) is None
    assert task().read_labels(make("test", question=["q"], context=["good"], answers=[None])) is None
    assert task().read_labels(make("test", question=["q"], context=["good"], answers=[[]])).tolist() == [
        [-1, -1]
    ]
