"""Two runs compared row by row: whether their predictions are of the same rows, and what the difference shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ftcli.report.differences import Difference, measure, sentence
from ftcli.report.saved_rows import NotComparable, Predictions, read_predictions
from ftcli.report.significance import holm
from ftcli.report.summary import FINISHED, Summary, as_mapping

Saved = Predictions | NotComparable
"""The predictions of a run, or why they cannot be read."""


def read_saved(summaries: list[Summary], letters: list[str], part: str) -> list[Saved]:
    """Returns the predictions of each run, or why they cannot be read.

    Args:
        summaries: of the runs.
        letters: of the runs, in the same order.
        part: `validation` or `test`.
    """
    found: list[Saved] = []
    for summary, letter in zip(summaries, letters, strict=True):
        try:
            _digest(summary, letter, part)
            found.append(read_predictions(summary, letter, part))
        except NotComparable as reason:
            found.append(reason)
    return found


def compare_pairs(
    summaries: list[Summary], letters: list[str], part: str, saved: list[Saved]
) -> list[dict[str, Any]]:
    """Returns a record for each run after the first: statistics and a sentence, or why there are none.

    Several comparisons make a small p value likely by chance alone, so the p values are corrected for their number
    (Holm), and only a corrected one supports a claim.

    Args:
        summaries: of the runs; each is compared with the first.
        letters: of the runs, in the same order.
        part: `validation` or `test`.
        saved: what `read_saved` returned.
    """
    records: list[dict[str, Any]] = []
    found: dict[int, Difference] = {}
    for index in range(1, len(summaries)):
        record: dict[str, Any] = {"first": letters[0], "second": letters[index], "part": part}
        try:
            _same_data(summaries[0], summaries[index], letters[0], letters[index], part)
            first, second = _same_rows(saved[0], saved[index], letters[0], letters[index])
            found[len(records)] = measure(first, second)
        except NotComparable as reason:
            record |= {"compared": False, "sentence": f"{letters[0]} and {letters[index]} are not compared row by row: {reason}."}  # fmt: skip
        records.append(record)
    corrected = holm([one.statistics.p_value for one in found.values()])
    for (index, one), p_value in zip(found.items(), corrected, strict=True):
        record = records[index]
        text = sentence(one, record["first"], record["second"], p_value, len(found))
        # The letters of the pair are `first` and `second`; the figures get names of their own.
        figures = {
            f"{k}_figure" if k in ("first", "second") else k: v for k, v in asdict(one.statistics).items()
        }
        record |= {"compared": True, "unit": one.unit.value, "figure": one.figure, **figures}
        record |= {"only_first": one.only_first, "only_second": one.only_second}
        record |= {"p_value_corrected": p_value, "sentence": text}
    return records


def _same_data(first: Summary, second: Summary, a: str, b: str, part: str) -> None:
    """Raises NotComparable where the rows of two runs are not known to be the same."""
    digests = [_digest(summary, letter, part) for summary, letter in ((first, a), (second, b))]
    if digests[0] != digests[1]:
        raise NotComparable(f"their {part} rows differ (sha256 in data.json)")


def _same_rows(ours: Saved, theirs: Saved, a: str, b: str) -> tuple[Predictions, Predictions]:
    """Returns the predictions of two runs on the same rows.

    Raises:
        NotComparable: the predictions cannot be read, or their labels differ.
    """
    for saved in (ours, theirs):
        if isinstance(saved, NotComparable):
            raise saved
    assert isinstance(ours, Predictions) and isinstance(theirs, Predictions)
    if ours.unit is not theirs.unit:
        raise NotComparable(f"{a} has {ours.unit.value}, {b} has {theirs.unit.value}")
    if len(ours.labels) != len(theirs.labels):
        raise NotComparable(f"{a} has {len(ours.labels)} predictions, {b} has {len(theirs.labels)}")
    for row, (one, other) in enumerate(zip(ours.labels, theirs.labels, strict=True)):
        if one != other:
            raise NotComparable(f"the label of row {row} is {one!r} in {a} and {other!r} in {b}")
    return ours, theirs


def _digest(summary: Summary, letter: str, part: str) -> str:
    """Returns the sha256 of the part's rows as data.json has it."""
    if summary.state != FINISHED:
        raise NotComparable(f"{letter} is not finished")
    known = as_mapping(as_mapping(summary.data.get("parts")).get(part)).get("sha256")
    if not isinstance(known, str):
        raise NotComparable(f"{letter} has no {part} part in data.json")
    return known
