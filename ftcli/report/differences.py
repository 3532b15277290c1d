"""The difference of two runs on the same rows: measured in the unit of their task, and said in one sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ftcli.console.units import counted
from ftcli.report.resampling import PairedFigures, compare_figures, f1_of_sums, share_of_sums
from ftcli.report.saved_rows import Predictions, Unit
from ftcli.report.significance import Paired, compare_paired

SIGNIFICANT = 0.05
GETS = {
    Unit.label: ("is right on", "gets wrong", "wrong on", "gets right"),
    Unit.labels: ("has all labels right on", "has not", "misses a label or adds one on", "has right"),
    Unit.answer: ("gives an accepted answer on", "answers wrong", "a wrong one on", "answers right"),
}
"""How a sentence says that a row is right as a whole."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two runs on the same rows."""

    unit: Unit
    figure: str
    """What is compared: `accuracy`, `span-f1`, `mean absolute error`, ..."""
    statistics: Paired | PairedFigures
    only_first: int
    """Rows, entities or words that only the first run gets right; of numbers, rows on which it is nearer to the label."""
    only_second: int


def measure(first: Predictions, second: Predictions) -> Difference:
    """Returns the difference of two runs on the same rows.

    A row that is right or wrong as a whole is tested by McNemar's test. Numbers, and entities and words, of which a row has several that
    depend on each other, are tested by exchanging rows.

    Args:
        first: of one run.
        second: of the other, with the same labels and unit.
    """
    unit = first.unit
    if unit is Unit.number:
        ours, theirs = first.absolute_errors(), second.absolute_errors()
        near, far = int(np.sum(ours[:, 0] < theirs[:, 0])), int(np.sum(theirs[:, 0] < ours[:, 0]))
        return Difference(
            unit, "mean absolute error", compare_figures(ours, theirs, share_of_sums), near, far
        )
    if unit is Unit.entity:
        second.scheme = first.scheme  # one reading for both, whatever tags each run knew
        (ours, own), (theirs, other) = first.entities(), second.entities()
        only_first = sum(len(a - b) for a, b in zip(own, other, strict=True))
        only_second = sum(len(b - a) for a, b in zip(own, other, strict=True))
        return Difference(unit, "span-f1", compare_figures(ours, theirs, f1_of_sums), only_first, only_second)
    if unit is Unit.word:
        only_first, only_second = _words_apart(first, second)
        figures = compare_figures(first.words(), second.words(), share_of_sums)
        return Difference(unit, "accuracy of words", figures, only_first, only_second)
    paired = compare_paired(first.right, second.right)
    figure = {Unit.label: "accuracy", Unit.labels: "exact match of labels", Unit.answer: "exact-match"}[unit]
    return Difference(unit, figure, paired, paired.only_first, paired.only_second)


def _words_apart(first: Predictions, second: Predictions) -> tuple[int, int]:
    rows = zip(first.labels, first.guesses, second.guesses, strict=True)
    words = [(a == label, b == label) for row in rows for label, a, b in zip(*row, strict=True)]
    return sum(a and not b for a, b in words), sum(b and not a for a, b in words)


def sentence(difference: Difference, first: str, second: str, p_corrected: float, num_pairs: int = 1) -> str:
    """Returns the conclusion that the statistics support.

    A difference is claimed only if the corrected p value is below 0.05 and the interval excludes 0: the test and the
    bootstrap can disagree near the limit.

    Args:
        difference: of the runs.
        first: name of the first run.
        second: name of the second.
        p_corrected: the p value corrected for the number of pairs; it decides.
        num_pairs: how many pairs were tested.
    """
    found, num_rows = difference.statistics, counted(difference.statistics.num_rows, "row")
    if found.interval is None:
        return _the_same(difference, first, second, num_rows)
    low, high = found.interval
    scale, unit = (1, "") if difference.unit is Unit.number else (100, " points")
    p_values = _p(found.p_value)
    if num_pairs > 1:
        p_values += (
            f", {_p(p_corrected).removeprefix('p ').removeprefix('= ')} corrected for {num_pairs} comparisons"
        )
    digits = "+.3g" if scale == 1 else "+.1f"
    figures = (
        f"({p_values}, 95 % interval {format(scale * low, digits)} to {format(scale * high, digits)}{unit})"
    )
    head = _head(difference, first, second)
    if p_corrected >= SIGNIFICANT:
        return f"{head}: no difference that {num_rows} could show {figures}."
    if low <= 0 <= high:
        return f"{head}: no difference is claimed, because the interval contains 0 {figures}."
    return f"{head}: {_claim(difference, first, second)} on {num_rows}, more than chance would explain {figures}."


def _the_same(difference: Difference, first: str, second: str, num_rows: str) -> str:
    found, unit = difference.statistics, difference.unit
    if isinstance(found, Paired):
        what = {Unit.label: "are right", Unit.labels: "have all labels right", Unit.answer: "give an accepted answer"}[unit]  # fmt: skip
        head = f"{first} and {second} {what} on the same {found.both_right} of {num_rows}"
    else:
        value = f"{found.first:.4g}" if unit is Unit.number else f"{found.first:.4f}"
        head = (
            f"{first} and {second} have the same {unit.value} on all {num_rows} ({difference.figure} {value})"
        )
    return f"{head}: nothing tells them apart there, which does not show that they are equal."


def _head(difference: Difference, first: str, second: str) -> str:
    """Returns what differs, counted."""
    unit, ours, theirs = difference.unit, difference.only_first, difference.only_second
    if unit is Unit.number:
        return f"{second} is nearer to the label on {counted(theirs, 'row')} and farther from it on {ours:,}"
    if unit in (Unit.entity, Unit.word):
        one = "entity" if unit is Unit.entity else "word"
        gets = ("finds", "misses", "finds") if unit is Unit.entity else ("tags", "gets wrong", "gets right")
        return f"{second} {gets[0]} {counted(theirs, one)} that {first} {gets[1]} and {gets[1]} {ours:,} that {first} {gets[2]}"  # fmt: skip
    right, not_, wrong, does = GETS[unit]
    return f"{second} {right} {counted(theirs, 'row')} that {first} {not_} and {wrong} {ours:,} that {first} {does}"


def _claim(difference: Difference, first: str, second: str) -> str:
    found = difference.statistics
    more = found.difference > 0
    if difference.unit is Unit.number:
        assert isinstance(found, PairedFigures)
        amount = f"{abs(found.difference):.3g} ({found.second:.4g} against {found.first:.4g})"
        return f"{second}'s mean absolute error is {'larger' if more else 'smaller'} by {amount}"
    points = f"{100 * abs(found.difference):.1f} points"
    if difference.unit is Unit.label:
        return f"{second} is {'more' if more else 'less'} accurate by {points}"
    return f"{second}'s {difference.figure} is {'higher' if more else 'lower'} by {points}"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"
