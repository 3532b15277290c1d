"""Whether a run predicts the same for every row: a figure can look fair where a model has learned nothing."""

from __future__ import annotations

from ftcli.report.saved_rows import Predictions, Unit

SAME = 1e-6
"""Numbers whose range is this share of the labels' range are one number."""


def collapse_of(predictions: Predictions) -> str | None:
    """Returns what a run predicts for all rows, as `predicts 'x' for every row`; None where rows differ.

    Args:
        predictions: of one part. Where all labels are equal too, one prediction is no fault.
    """
    unit, labels, guesses = predictions.unit, predictions.labels, predictions.guesses
    if unit is Unit.number:
        spread, wanted = max(guesses) - min(guesses), max(labels) - min(labels)
        return "predicts one number for every row" if wanted > 0 and spread <= SAME * wanted else None
    if unit in (Unit.entity, Unit.word):
        found, wanted = ({tag for row in rows for tag in row} for rows in (guesses, labels))
        if len(wanted) < 2 or len(found) != 1:
            return None
        return "finds no entity in any row" if found == {"O"} else f"gives every word the tag {found.pop()!r}"
    if len({_hashable(label) for label in labels}) < 2 or len({_hashable(guess) for guess in guesses}) > 1:
        return None
    one = guesses[0]
    if unit is Unit.labels:
        return (
            f"predicts {', '.join(map(repr, one))} for every row" if one else "predicts no label for any row"
        )
    return f"predicts {one!r} for every row" if one else "predicts no answer for any row"


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
