"""The saved predictions of a run, read back: what a line is right or wrong about, and how two runs are measured by it.

The form of the lines says what they are, so that runs of tasks that are not installed here compare as well.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from ftcli.metric._answers import normalised
from ftcli.metric._spans import OUTSIDE, Scheme, entities, scheme_of
from ftcli.report.summary import Summary, as_mapping, as_number, json_safe
from ftcli.storage.plain_file import read_plain_text

MAX_BYTES = 1 << 31
"""Of a predictions file; a larger one does not fit in memory as objects."""


class NotComparable(Exception):
    """Why two runs cannot be compared row by row, in one line."""


class Unit(Enum):
    """What two runs are compared by; the value is its name in the JSON of `compare`."""

    label = "rows"
    labels = "rows with all labels right"
    answer = "rows with an accepted answer"
    number = "absolute errors"
    entity = "entities"
    word = "words"


@dataclass(slots=True)
class Predictions:
    """The saved predictions of one part, in row order."""

    labels: list[Any]
    guesses: list[Any]
    unit: Unit
    scheme: Scheme = Scheme.bio
    """Of the tags of entities."""

    @property
    def right(self) -> np.ndarray:
        """(num_rows,) bool: whether the whole row is predicted correctly."""
        return np.array(
            [_is_right(label, guess) for label, guess in zip(self.labels, self.guesses, strict=True)]
        )

    def absolute_errors(self) -> np.ndarray:
        """Returns (num_rows, 2) fp64: the distance of label and prediction, and 1 to count the row."""
        errors = np.abs(np.array(self.guesses, dtype=np.float64) - np.array(self.labels, dtype=np.float64))
        return np.stack([errors, np.ones(len(errors))], 1)

    def words(self) -> np.ndarray:
        """Returns (num_rows, 2) int64: the words with the right tag, and all words."""
        pairs = zip(self.labels, self.guesses, strict=True)
        return np.array([[sum(a == b for a, b in zip(*pair, strict=True)), len(pair[0])] for pair in pairs])

    def entities(self) -> tuple[np.ndarray, list[set[Any]]]:
        """Returns (num_rows, 3) int64, entities that are right, predicted, and labelled; and those of each row that are right."""
        found = [entities(guess, self.scheme) for guess in self.guesses]
        labelled = [entities(label, self.scheme) for label in self.labels]
        right = [a & b for a, b in zip(found, labelled, strict=True)]
        sums = [[len(r), len(f), len(t)] for r, f, t in zip(right, found, labelled, strict=True)]
        return np.array(sums), right


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
        text = read_plain_text(path, MAX_BYTES)
    except FileNotFoundError:
        raise NotComparable(f"there is no {where}") from None
    except (OSError, ValueError):
        raise NotComparable(f"{where} cannot be read") from None
    lines = text.removesuffix("\n").split("\n") if text else []
    if not lines:
        raise NotComparable(f"{where} is empty")
    rows = [_row(line, f"{where}, line {n}") for n, line in enumerate(lines, start=1)]
    forms = [_form(*row) for row in rows]
    if odd := next((n for n, form in enumerate(forms, start=1) if form is not forms[0]), None):
        raise NotComparable(f"{where}, line {odd} holds another kind of prediction than line 1")
    recorded = as_number(as_mapping(as_mapping(summary.data.get("parts")).get(part)).get("rows"))
    if recorded is not None and recorded != len(rows):
        raise NotComparable(f"{where} has {len(rows)} rows, data.json says {recorded}")
    labels, guesses = [label for label, _, _ in rows], [guess for _, guess, _ in rows]
    unit = forms[0]
    if unit is not Unit.word:
        return Predictions(labels, guesses, unit)
    tags = _tags(summary, [*labels, *guesses])
    scheme = scheme_of(tags)
    # Tags without prefixes and without O, such as parts of speech, are of words that stand alone.
    alone = set(tags) == {OUTSIDE} or (scheme is Scheme.plain and OUTSIDE not in tags)
    return Predictions(labels, guesses, Unit.word if alone else Unit.entity, scheme)


def _tags(summary: Summary, rows: list[list[str]]) -> list[str]:
    """Returns all tags that the run knows: those of some rows alone may look like a simpler scheme."""
    known = summary.data.get("labels")
    named = known if isinstance(known, list) and all(isinstance(tag, str) for tag in known) else []
    return sorted({*named, *(tag for row in rows for tag in row)})


def _row(line: str, where: str) -> tuple[Any, Any, bool]:
    """Returns label, prediction, and whether the line is one of words with tags."""
    try:
        row = as_mapping(json.loads(line))
    except (ValueError, RecursionError):
        raise NotComparable(f"{where} is not JSON") from None
    for key in ("label", "prediction"):
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int | float | list):
            raise NotComparable(f"{where} has no {key}")
        if isinstance(value, int | float) and not _is_finite(value):
            raise NotComparable(f"{where}: the {key} is no finite number")
        if isinstance(value, list) and not all(isinstance(one, str) for one in value):
            raise NotComparable(f"{where} has no {key} that is right or wrong")
    return json_safe(row["label"]), json_safe(row["prediction"]), isinstance(row.get("probabilities"), list)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _form(label: Any, guess: Any, tagged: bool) -> Unit:
    if isinstance(label, int | float) and isinstance(guess, int | float):
        return Unit.number
    if isinstance(label, list) and isinstance(guess, list):
        return Unit.word if tagged and len(label) == len(guess) else Unit.labels
    return Unit.answer if isinstance(label, list) else Unit.label


def _is_right(label: Any, guess: Any) -> bool:
    """Whether a row is right as a whole: all of its tags or labels, or one of its answers (as exact-match has it).

    An answer is text and its label a list of the accepted texts; an empty list means that there is no answer.
    """
    if isinstance(label, list) and isinstance(guess, str):
        accepted = {text for text in map(normalised, label) if text} or {""}
        return normalised(guess) in accepted
    return bool(label == guess)
