"""Two runs compared row by row: whether their predictions are of the same rows, and what the difference shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ftcli.report.differences import Difference, measure, sentence
from ftcli.report.saved_rows import NotComparable, Predictions, read_predictions
from ftcli.report.significance import holm
from ftcli.report.summary import FINISHED, Summary, as_mapping


def compare_pairs(summaries: list[Summary], letters: list[str], part: str) -> list[dict[str, Any]]:
    """Returns a record for each run after the first: statistics and a sentence, or why there are none.

    Several comparisons make a small p value likely by chance alone, so the p values are corrected for their number
    (Holm), and only a corrected one supports a claim.

    Args:
        summaries: of the runs; each is compared with the first.
        letters: of the runs, in the same order.
        part: `validation` or `test`.
    """
    records: list[dict[str, Any]] = []
    found: dict[int, Difference] = {}
    for index in range(1, len(summaries)):
        record: dict[str, Any] = {"first": letters[0], "second": letters[index], "part": part}
        try:
            first, second = _same_rows(summaries[0], summaries[index], letters[0], letters[index], part)
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


def _same_rows(first: Summary, second: Summary, a: str, b: str, part: str) -> tuple[Predictions, Predictions]:
    """Returns the predictions of two runs on the same rows.

    Raises:
        NotComparable: the rows are not known to be the same, or the predictions cannot be read.
    """
    digests = [_digest(summary, letter, part) for summary, letter in ((first, a), (second, b))]
    if digests[0] != digests[1]:
        raise NotComparable(f"their {part} rows differ (sha256 in data.json)")
    ours, theirs = read_predictions(first, a, part), read_predictions(second, b, part)
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
