"""Each task is compared in its own unit, and the sentence names it."""

import json

import pytest

from ftcli.metric._spans import Scheme
from ftcli.metric.span_f1 import SpanF1
from ftcli.report.collapse import collapse_of
from ftcli.report.differences import measure, sentence
from ftcli.report.saved_rows import Predictions, Unit, _form, read_predictions
from ftcli.report.summary import FINISHED, Summary
from ftcli.run.run_dir import RunDir


def said(first, second, p=None) -> str:
    found = measure(first, second)
    return sentence(found, "A", "B", found.statistics.p_value if p is None else p)


def of(unit, labels, guesses) -> Predictions:
    return Predictions(labels, guesses, unit)


def test_numbers_are_compared_by_absolute_errors():
    labels = [float(n) for n in range(12)]
    near, far = [n + 0.1 for n in labels], [n - 0.6 for n in labels]
    first, second = of(Unit.number, labels, far), of(Unit.number, labels, near)
    found = measure(first, second)
    assert found.statistics.first == pytest.approx(0.6) and found.statistics.second == pytest.approx(0.1)
    assert found.statistics.p_value == pytest.approx(2 / 2**12, abs=0.002)
    text = said(first, second)
    assert text.startswith("B is nearer to the label on 12 rows and farther from it on 0: B's mean absolute error is smaller by 0.5 (0.1 against 0.6) on 12 rows, more than chance")  # fmt: skip
    assert "points" not in text and "larger by 0.5" in said(second, first)
    assert "no difference that 12 rows could show" in said(first, second, p=0.2)
    assert "the same absolute errors on all 12 rows (mean absolute error 0.6)" in said(first, first)


TAGS = [["B-loc", "I-loc", "O"], ["O", "B-per", "O"], ["B-loc", "O", "O"], ["O", "O", "O"]] * 4


def test_tags_are_compared_by_entities_and_the_figure_is_span_f1():
    guesses = [["B-loc", "O", "O"], ["O", "B-per", "O"], ["O", "O", "B-loc"], ["O", "O", "O"]] * 4
    first, second = of(Unit.entity, TAGS, guesses), of(Unit.entity, TAGS, TAGS)
    found = measure(first, second)
    for run, figure in ((guesses, found.statistics.first), (TAGS, found.statistics.second)):
        metric = SpanF1()
        metric.reset()
        metric.update(run, TAGS)
        assert figure == pytest.approx(metric.compute())
    assert (found.only_first, found.only_second) == (0, 8)
    text = said(first, second)
    assert text.startswith("B finds 8 entities that A misses and misses 0 that A finds: B's span-f1 is higher by 66.7 points on 16 rows")  # fmt: skip


def test_entities_of_bilou_are_read_strictly():
    labels, guesses = [["B-loc", "L-loc", "U-per"]], [["B-loc", "I-loc", "U-per"]]
    sums, right = Predictions(labels, guesses, Unit.entity, Scheme.bilou).entities()
    assert right == [{("per", 2, 2)}] and sums.tolist() == [[1, 1, 2]]


@pytest.mark.parametrize(("known", "tags", "unit", "scheme"), [
    (["B-x", "L-x", "U-x", "I-x", "O"], ["U-x", "O"], Unit.entity, Scheme.bilou),
    (["B-x", "I-x", "O"], ["O", "O"], Unit.entity, Scheme.bio),
    (["x", "y", "O"], ["x", "O"], Unit.entity, Scheme.plain),
    (["NOUN", "VERB"], ["NOUN", "NOUN"], Unit.word, Scheme.plain),
    (None, ["B-x", "O"], Unit.entity, Scheme.bio),
])  # fmt: skip
def test_the_scheme_is_that_of_all_tags_of_the_run(tmp_path, known, tags, unit, scheme):
    (tmp_path / "predictions").mkdir()
    line = {"row": 0, "label": tags, "prediction": tags, "probabilities": [1.0, 1.0]}
    (tmp_path / "predictions/validation.jsonl").write_text(json.dumps(line) + "\n")
    summary = Summary(RunDir(tmp_path), FINISHED, {}, {"steps": 1}, data={"labels": known})
    found = read_predictions(summary, "A", "validation")
    assert (found.unit, found.scheme) == (unit, scheme)


def test_parts_of_speech_are_compared_by_words():
    labels = [["NOUN", "VERB"], ["NOUN", "NOUN"]] * 5
    wrong = [["NOUN", "NOUN"], ["NOUN", "NOUN"]] * 5
    text = said(of(Unit.word, labels, wrong), of(Unit.word, labels, labels), p=0.01)
    assert text.startswith("B tags 5 words that A gets wrong and gets wrong 0 that A gets right: B's accuracy of words is higher by 25.0 points")  # fmt: skip


def test_sets_of_labels_and_answers_name_their_unit():
    labels = [["a", "b"], []] * 8
    text = said(of(Unit.labels, labels, [["a"], []] * 8), of(Unit.labels, labels, labels))
    assert text.startswith("B has all labels right on 8 rows that A has not and misses a label or adds one on 0 that A has right: B's exact match of labels is higher by 50.0 points")  # fmt: skip
    answers = [["Paris"]] * 8
    text = said(of(Unit.answer, answers, ["Rome"] * 8), of(Unit.answer, answers, ["the Paris"] * 8))
    assert text.startswith("B gives an accepted answer on 8 rows that A answers wrong and a wrong one on 0 that A answers right: B's exact-match is higher by 100.0 points")  # fmt: skip


@pytest.mark.parametrize(("row", "unit"), [((1.5, 2, False), Unit.number), (("a", "b", False), Unit.label), ((["a"], "a", False), Unit.answer),
                                           ((["a"], ["b"], False), Unit.labels), ((["a"], ["b"], True), Unit.word)])  # fmt: skip
def test_the_form_of_a_line_says_its_unit(row, unit):
    assert _form(*row) is unit


@pytest.mark.parametrize(("unit", "labels", "guesses", "text"), [
    (Unit.label, ["a", "b"], ["a", "a"], "predicts 'a' for every row"),
    (Unit.label, ["a", "b"], ["a", "b"], None),
    (Unit.label, ["a", "a"], ["a", "a"], None),
    (Unit.labels, [["a"], []], [[], []], "predicts no label for any row"),
    (Unit.labels, [["a"], []], [["a", "b"]] * 2, "predicts 'a', 'b' for every row"),
    (Unit.answer, [["x"], ["y"]], ["", ""], "predicts no answer for any row"),
    (Unit.entity, [["O", "B-x"], ["O"]], [["O", "O"], ["O"]], "finds no entity in any row"),
    (Unit.word, [["N", "V"], ["V"]], [["N", "N"], ["N"]], "gives every word the tag 'N'"),
    (Unit.number, [0.0, 10.0], [3.0, 3.0000001], "predicts one number for every row"),
    (Unit.number, [0.0, 10.0], [3.0, 3.1], None),
])  # fmt: skip
def test_a_run_that_predicts_one_thing_is_named(unit, labels, guesses, text):
    assert collapse_of(of(unit, labels, guesses)) == text
