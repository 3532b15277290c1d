"""Answers as they stand in a file -> places of the right choices; what can be read in two ways is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from string import ascii_uppercase

from ftcli.batching.rows import Rows
from ftcli.errors import DataError, Problem
from ftcli.task.labels import WHOLE_FLOAT, WHOLE_NUMBER


class Answers(Enum):
    auto = "auto"
    name = "name"
    place = "place"
    text = "text"


Reading = list[int | None]
"""Place of each row's answer; None for one that cannot be read so."""
PLACES = ("place 0", "place 1")


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """Reads the answers of a part in one way: as names of the choices, letters, places or texts.

    Args:
        kind: `task.answers_are`.
        first: `task.answers_from`; None where it was not typed.
        names: (rows, row) -> names of the row's choices.
        choices: (rows, row) -> texts of the row's choices.
    """

    kind: Answers
    first: int | None
    names: Callable[[Rows, int], list[str]]
    choices: Callable[[Rows, int], list[str]]

    def check(self, parts: Sequence[tuple[Rows, str]]) -> None:
        """Checks that the answers of all parts together can be read in one way alone.

        Args:
            parts: labelled parts, and the column of their answers.

        Raises:
            DataError: they count from 1, or may; or they name one choice and are the text of another.
        """
        readings = [self.readings(rows, column) for rows, column in parts]
        pooled = {
            kind: [p for one in readings for p in one[kind]] for kind in (readings[0] if readings else ())
        }
        whole = {kind: found for kind, found in pooled.items() if None not in found}
        _one_way(whole, parts[0][0].origin if parts else "")
        if (
            self.first is None
            and self.kind in (Answers.auto, Answers.place)
            and next(iter(whole), "place 1") in PLACES
        ):
            _one_base(whole)

    def read(self, rows: Rows, column: str) -> list[int]:
        """Returns the place of each row's right choice.

        Raises:
            DataError: an answer that is none of the row's choices, named with its line, or answers that can be read in two ways.
        """
        readings = self.readings(rows, column)
        if self.first is None:  # `check` asks; a file by itself says nothing
            readings.pop("place 1", None)
        _one_way({kind: found for kind, found in readings.items() if None not in found}, rows.origin)
        best = max(readings.values(), key=lambda found: sum(place is not None for place in found))
        lost = next((row for row, place in enumerate(best) if place is None), None)
        if lost is not None:
            message = f"the answer {rows.columns[column][lost]!r} is none of its choices"
            hint = f"expected one of {', '.join(self.names(rows, lost))}"
            raise DataError(Problem(rows.where(lost), message, hint))
        return [place for place in best if place is not None]

    def readings(self, rows: Rows, column: str) -> dict[str, Reading]:
        """Returns way to read them -> places of the answers, the preferred way first."""
        answers = [None if v is None else str(v).strip() for v in rows.columns[column]]
        texts = [self.choices(rows, row) for row in range(len(rows))]
        found: dict[str, Reading] = {}
        if self.kind in (Answers.auto, Answers.name):
            names = [self.names(rows, row) for row in range(len(rows))]
            found["name"] = [_at(own, answer) for own, answer in zip(names, answers, strict=True)]
            letters = [[letter(place) for place in range(len(own))] for own in texts]
            found["letter"] = [_at(own, answer) for own, answer in zip(letters, answers, strict=True)]
        if self.kind in (Answers.auto, Answers.place):
            for base in (0, 1) if self.first is None else (self.first,):
                found[f"place {base}"] = [_number(answer, base, len(own)) for own, answer in zip(texts, answers, strict=True)]  # fmt: skip
        if self.kind in (Answers.auto, Answers.text):
            found["text"] = [_at([t.strip() for t in own], a) for own, a in zip(texts, answers, strict=True)]
        return found


def _one_way(whole: dict[str, Reading], origin: str) -> None:
    """Raises DataError where answers are names (or places) of some choices and the texts of others."""
    kind = next(iter(whole), "")
    if kind and "text" in whole and whole["text"] != whole[kind] and (kind not in PLACES or _differs(whole)):
        word = "name" if kind in ("name", "letter") else "place"
        message = f"the answers of {origin} can be read as {word}s of choices and as their texts, which are other choices"
        raise DataError(
            Problem("task.answers_are", message, f"type task.answers_are={word} or task.answers_are=text")
        )


def _differs(whole: dict[str, Reading]) -> bool:
    return all(whole[place] != whole["text"] for place in PLACES if place in whole)


def _one_base(whole: dict[str, Reading]) -> None:
    """Raises DataError where places count from 1, or may."""
    if "place 1" in whole and "place 0" in whole:
        message = "the answers are numbers: none is 0, and none is the number of choices, so they may count from 0 or from 1"
        hint = "type task.answers_from=1 where 1 is the first choice, task.answers_from=0 where 0 is"
        raise DataError(Problem("task.answers_from", message, hint))
    if "place 1" in whole:
        message = "the answers are numbers that count from 1: none is 0, and some are the number of choices"
        raise DataError(Problem("task.answers_from", message, "type task.answers_from=1"))


def letter(place: int) -> str:
    """Returns the name of a choice that has none: A, B, ..."""
    return ascii_uppercase[place] if place < len(ascii_uppercase) else str(place)


def _at(names: list[str], answer: str | None) -> int | None:
    return names.index(answer) if answer in names else None


def _number(answer: str | None, base: int, count: int) -> int | None:
    whole = answer and (WHOLE_FLOAT.fullmatch(answer) or WHOLE_NUMBER.fullmatch(answer))
    if not answer or not whole:
        return None
    place = int(float(answer)) - base if len(answer) < 16 else -1
    return place if 0 <= place < count else None
