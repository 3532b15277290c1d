"""Two runs compared row by row: whether their predictions are of the same rows, and what the difference shows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ftcli.report.significance import Paired, compare_paired, holm
from ftcli.report.summary import FINISHED, Summary, as_mapping, as_number, json_safe

SIGNIFICANT = 0.05


class NotComparable(Exception):
    """Why two runs cannot be compared row by row, in one line."""


@dataclass(slots=True)
class Predictions:
    """The saved predictions of one part, in row order."""

    labels: list[Any]
    right: np.ndarray
    """(num_rows,) bool: whether the whole row is predicted correctly."""


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
    found: dict[int, Paired] = {}
    for index in range(1, len(summaries)):
        record: dict[str, Any] = {"first": letters[0], "second": letters[index], "part": part}
        try:
            first, second = _same_rows(summaries[0], summaries[index], letters[0], letters[index], part)
            found[len(records)] = compare_paired(first.right, second.right)
        except NotComparable as reason:
            record |= {"compared": False, "sentence": f"{letters[0]} and {letters[index]} are not compared row by row: {reason}."}  # fmt: skip
        records.append(record)
    corrected = holm([paired.p_value for paired in found.values()])
    for (index, paired), p_value in zip(found.items(), corrected, strict=True):
        record = records[index]
        text = sentence(paired, record["first"], record["second"], p_value, len(found))
        record |= {"compared": True, **asdict(paired), "p_value_corrected": p_value, "sentence": text}
    return records


def sentence(paired: Paired, first: str, second: str, p_corrected: float, num_pairs: int = 1) -> str:
    """Returns the conclusion that the statistics support.

    A difference is claimed only if the corrected p value is below 0.05 and the interval excludes 0: the test and the
    bootstrap can disagree near the limit.

    Args:
        paired: counts, difference, interval and p value.
        first: name of the first run.
        second: name of the second.
        p_corrected: the p value corrected for the number of pairs; it decides.
        num_pairs: how many pairs were tested.
    """
    rows = _rows(paired.num_rows)
    if paired.interval is None:
        return f"{first} and {second} are right on the same {paired.both_right} of {rows}: nothing tells them apart there, which does not show that they are equal."
    low, high = paired.interval
    p_values = _p(paired.p_value)
    if num_pairs > 1:
        p_values += (
            f", {_p(p_corrected).removeprefix('p ').removeprefix('= ')} corrected for {num_pairs} comparisons"
        )
    figures = f"({p_values}, 95 % interval {100 * low:+.1f} to {100 * high:+.1f} points)"
    head = (
        f"{second} is right on {_rows(paired.only_second)} that {first} gets wrong "
        f"and wrong on {paired.only_first} that {first} gets right"
    )
    if p_corrected >= SIGNIFICANT:
        return f"{head}: no difference that {rows} could show {figures}."
    if low <= 0 <= high:
        return f"{head}: no difference is claimed, because the interval contains 0 {figures}."
    more, points = "more" if paired.difference > 0 else "less", f"{100 * abs(paired.difference):.1f} points"
    return f"{head}: {second} is {more} accurate by {points} on {rows}, more than chance would explain {figures}."


def _same_rows(first: Summary, second: Summary, a: str, b: str, part: str) -> tuple[Predictions, Predictions]:
    """Returns the predictions of two runs on the same rows.

    Raises:
        NotComparable: the rows are not known to be the same, or the predictions cannot be read.
    """
    digests = [_digest(summary, letter, part) for summary, letter in ((first, a), (second, b))]
    if digests[0] != digests[1]:
        raise NotComparable(f"their {part} rows differ (sha256 in data.json)")
    ours, theirs = read_predictions(first, a, part), read_predictions(second, b, part)
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


def read_predictions(summary: Summary, letter: str, part: str) -> Predictions:
    """Returns the saved predictions of one part; every row must have a label and a prediction.

    Args:
        summary: of the run.
        letter: of the run, for messages.
        part: `validation` or `test`.

    Raises:
        NotComparable: there are none, a line has no label or prediction, or their number is not that of data.json.
    """
    path = summary.run.predictions / f"{part}.jsonl"
    where = f"predictions/{part}.jsonl of {letter}"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotComparable(f"there is no {where}") from None
    except (OSError, ValueError):
        raise NotComparable(f"{where} cannot be read") from None
    lines = text.removesuffix("\n").split("\n") if text else []
    pairs = [_label_and_prediction(line, f"{where}, line {n}") for n, line in enumerate(lines, start=1)]
    if not pairs:
        raise NotComparable(f"{where} is empty")
    recorded = as_number(as_mapping(as_mapping(summary.data.get("parts")).get(part)).get("rows"))
    if recorded is not None and recorded != len(pairs):
        raise NotComparable(f"{where} has {len(pairs)} rows, data.json says {recorded}")
    return Predictions(
        [label for label, _ in pairs], np.array([_is_right(label, guess) for label, guess in pairs])
    )


def _label_and_prediction(line: str, where: str) -> tuple[Any, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise NotComparable(f"{where} is not JSON") from None
    for key in ("label", "prediction"):
        if not isinstance(as_mapping(row).get(key), str | int | list):
            raise NotComparable(f"{where} has no {key} that is right or wrong")
    return json_safe(row["label"]), json_safe(row["prediction"])


def _is_right(label: Any, guess: Any) -> bool:
    """Whether a row is right as a whole: all of its tags or labels, or one of its answers.

    An answer is text and its label a list of the accepted texts; an empty list means that there is no answer.
    """
    if isinstance(label, list) and isinstance(guess, str):
        return guess in label if label else not guess
    return bool(label == guess)


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"
