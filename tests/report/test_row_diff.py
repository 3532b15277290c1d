"""What is said of a pair, and when it is not compared at all."""

import json
from pathlib import Path

import numpy as np
import pytest

from ftcli.report.differences import Difference, sentence
from ftcli.report.row_diff import compare_pairs, read_saved
from ftcli.report.saved_rows import NotComparable, Unit, read_predictions
from ftcli.report.significance import compare_paired
from ftcli.report.summary import FINISHED, STOPPED, Summary
from ftcli.run.run_dir import RunDir

LABELS = ["no", "yes", "no", "yes"]


def compared(summaries, letters):
    saved = read_saved(summaries, letters, "validation")
    return compare_pairs(summaries, letters, "validation", saved)


def rows(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, only_first, only_second, neither]
    first = np.repeat([True, True, False, False], counts)
    return first, np.repeat([True, False, True, False], counts)


def say(both: int, only_first: int, only_second: int, neither: int, p=None, pairs: int = 1) -> str:
    paired = compare_paired(*rows(both, only_first, only_second, neither))
    one = Difference(Unit.label, "accuracy", paired, only_first, only_second)
    return sentence(one, "A", "B", paired.p_value if p is None else p, pairs)


def test_a_sentence_claims_what_the_test_says():
    none = say(200, 9, 12, 51)
    assert none.startswith("B is right on 12 rows that A gets wrong and wrong on 9 that A gets right: no difference that 272 rows could show (p = 0.66, 95 % interval -")  # fmt: skip
    more = say(200, 9, 40, 51)
    assert "B is more accurate by 10.3 points on 300 rows, more than chance would explain (p < 0.001" in more
    less = say(200, 40, 9, 51)
    assert "B is less accurate by 10.3 points" in less and "interval -" in less
    assert say(10, 0, 1, 0).startswith("B is right on 1 row that A gets wrong and wrong on 0")


def test_a_correction_takes_a_claim_back():
    alone = say(200, 9, 22, 51)
    assert "more accurate" in alone and "p = 0.029" in alone
    among = say(200, 9, 22, 51, p=0.088, pairs=3)
    assert (
        "no difference that 282 rows could show (p = 0.029, 0.088 corrected for 3 comparisons, 95 %" in among
    )


def test_equal_rows_are_no_proof_of_equality():
    shown = say(12, 0, 0, 4)
    assert "right on the same 12 of 16 rows" in shown and "does not show that they are equal" in shown
    assert "interval" not in shown


def test_an_interval_that_contains_0_supports_no_claim():
    # p below 0.05 given, interval around 0: the two disagree
    shown = say(200, 9, 12, 51, p=0.04)
    assert "no difference is claimed" in shown and "accurate" not in shown


def run(
    folder: Path, predictions: list[str], labels: list[str] = LABELS, sha256: str = "5e", **other
) -> Summary:
    (folder / "predictions").mkdir(parents=True)
    lines = [{"row": n, "label": label, "prediction": guess} for n, (label, guess) in enumerate(zip(labels, predictions, strict=True))]  # fmt: skip
    write(folder, lines)
    data = {"parts": {"validation": {"sha256": sha256, "rows": len(lines)}}}
    return Summary(**{"run": RunDir(folder), "state": FINISHED, "settings": {}, "result": {"steps": 1}, "data": data, **other})  # fmt: skip


def write(folder: Path, lines: list[object]) -> None:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / "predictions" / "validation.jsonl").write_text(text)


def test_rows_are_paired_by_their_place(tmp_path):
    first = run(tmp_path / "a", ["no", "no", "no", "no"])
    second = run(tmp_path / "b", ["yes", "yes", "no", "yes"])
    (record,) = compared([first, second], ["A", "B"])
    assert record["compared"] and record["both_right"] == 1
    assert (record["only_first"], record["only_second"]) == (1, 2)
    assert record["difference"] == pytest.approx(0.25) and record["p_value"] == 1.0


def test_each_run_is_paired_with_the_first_and_corrected_for_it(tmp_path):
    labels = ["yes"] * 40
    first = run(tmp_path / "a", ["no"] * 7 + ["yes"] * 33, labels)
    second = run(tmp_path / "b", ["yes"] * 40, labels)
    third = run(tmp_path / "c", ["no"] * 6 + ["yes"] * 34, labels)
    records = compared([first, second, third], ["A", "B", "C"])
    assert [(r["first"], r["second"]) for r in records] == [("A", "B"), ("A", "C")]
    assert records[0]["p_value"] == pytest.approx(2 / 2**7)
    assert records[0]["p_value_corrected"] == pytest.approx(4 / 2**7)
    assert "more accurate" in records[0]["sentence"] and "no difference" in records[1]["sentence"]


def test_only_a_corrected_p_value_decides(tmp_path):
    labels = ["yes"] * 40
    runs = [run(tmp_path / name, ["no"] * wrong + ["yes"] * (40 - wrong), labels) for name, wrong in (("a", 6), ("b", 0), ("c", 5))]  # fmt: skip
    alone, among = compared(runs[:2], ["A", "B"])[0], compared(runs, ["A", "B", "C"])[0]  # fmt: skip
    assert alone["p_value"] == among["p_value"] == pytest.approx(2 / 2**6)
    assert "more accurate" in alone["sentence"] and "more accurate" not in among["sentence"]


@pytest.mark.parametrize(("other", "said"), [
    ({"sha256": "6f"}, "validation rows differ (sha256"),
    ({"state": STOPPED}, "B is not finished"),
    ({"data": {}}, "B has no validation part"),
    ({"data": {"parts": [1]}}, "B has no validation part"),
    ({"data": {"parts": {"validation": {"sha256": "5e", "rows": 5}}}}, "has 4 rows, data.json says 5"),
    ({"labels": ["no", "yes", "yes", "yes"]}, "the label of row 2 is 'no' in A and 'yes' in B"),
])  # fmt: skip
def test_other_rows_are_not_compared(tmp_path, other, said):
    first, second = run(tmp_path / "a", LABELS), run(tmp_path / "b", LABELS, **other)
    (record,) = compared([first, second], ["A", "B"])
    assert not record["compared"] and "p_value" not in record
    assert record["sentence"].startswith("A and B are not compared row by row: ")
    assert said in record["sentence"]


def test_one_that_cannot_be_compared_does_not_count_as_a_comparison(tmp_path):
    runs = [run(tmp_path / name, ["no"] * 4, sha256="6f" if name == "b" else "5e") for name in "abc"]
    records = compared(runs, ["A", "B", "C"])
    assert [record["compared"] for record in records] == [False, True]
    assert records[1]["p_value_corrected"] == 1.0


@pytest.mark.parametrize(("line", "said"), [
    ({"row": 1, "prediction": "no"}, "line 2 has no label"),
    ({"row": 1, "label": None, "prediction": "no"}, "line 2 has no label"),
    ({"row": 1, "label": "no"}, "line 2 has no prediction"),
    ({"row": 1, "label": 0.5, "prediction": 0.25}, "line 2 holds another kind of prediction than line 1"),
    ({"row": 1, "label": True, "prediction": "no"}, "line 2 has no label"),
    ({"row": 1, "label": [1], "prediction": [1]}, "line 2 has no label that is right or wrong"),
    ('{"label": NaN, "prediction": 1}', "line 2: the label is no finite number"),
    ('{"label": 1, "prediction": 1e999}', "line 2: the prediction is no finite number"),
    ('{"label": 1%s, "prediction": 1}' % ("0" * 400), "line 2: the label is no finite number"),
    ([1], "line 2 has no label"),
    ("{", "line 2 is not JSON"),
    ("", "line 2 is not JSON"),
    ("[" * 100_000, "line 2 is not JSON"),
])  # fmt: skip
def test_lines_of_another_kind(tmp_path, line, said):
    summary = run(tmp_path / "a", LABELS)
    write(tmp_path / "a", [{"row": 0, "label": "no", "prediction": "no"}, line])
    with pytest.raises(NotComparable, match=f"validation.jsonl of A, {said}"):
        read_predictions(summary, "A", "validation")


def test_a_label_may_hold_any_character(tmp_path):
    summary = run(tmp_path / "a", LABELS)
    row = json.dumps({"row": 0, "label": "a\u2028b", "prediction": "a\u2028b"}, ensure_ascii=False)
    write(tmp_path / "a", [row] * 4)
    assert read_predictions(summary, "A", "validation").right.all()


def test_predictions_that_are_missing_empty_or_no_text(tmp_path):
    summary = run(tmp_path / "a", LABELS)
    file = tmp_path / "a" / "predictions" / "validation.jsonl"
    for content, said in ((b"", "is empty"), (b"\xff\n", "cannot be read"), (None, "there is no")):
        file.unlink() if content is None else file.write_bytes(content)
        with pytest.raises(NotComparable, match=said):
            read_predictions(summary, "A", "validation")


def test_rows_of_lists_are_right_as_a_whole():
    from ftcli.report.saved_rows import _is_right

    assert _is_right(["O", "B-x"], ["O", "B-x"]) and not _is_right(["O", "B-x"], ["O", "O"])
    assert _is_right(["Paris", "paris"], "paris") and not _is_right(["Paris"], "Rome")
    assert _is_right(["The Paris."], "paris")  # as exact-match counts it
    assert _is_right([], "") and not _is_right([], "Rome")
    assert _is_right("a", "a") and not _is_right("a", "b")
