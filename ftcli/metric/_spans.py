"""Entities out of tags: which scheme the tags have, and where each entity begins and ends in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum

Entity = tuple[str, int, int]
"""Type, first word, last word."""
_PREFIXED = re.compile(r"([BIELSU])(?:[-_](.*))?", re.DOTALL)
_SUFFIXED = re.compile(r"(.+)[-_]([BIELSU])", re.DOTALL)
OUTSIDE = "O"
_STRICT = {"L": "E", "U": "S"}
"""BILOU's letters for the last word and for an entity of one word, in those of IOBES."""


class Scheme(Enum):
    """How the words of an entity are tagged; the value is its name for people."""

    bio = "BIO (IOB1, IOB2)"
    iobes = "IOBES"
    bilou = "BILOU"
    plain = "without prefixes: words of one tag in a row are one entity"


def scheme_of(names: Iterable[str]) -> Scheme:
    """Returns the scheme that tags have.

    Args:
        names: all tags there are; of some rows' tags alone a scheme may look simpler than it is.
    """
    split = [_split(name) for name in names if name != OUTSIDE]
    if not split or None in split:
        return Scheme.plain
    letters = {one[0] for one in split if one is not None}
    if letters & {"L", "U"}:
        return Scheme.bilou
    return Scheme.iobes if "S" in letters or {"B", "E"} <= letters else Scheme.bio


def entities(tags: Sequence[str], scheme: Scheme) -> set[Entity]:
    """Returns the entities of a row.

    BIO is read in the lenient way of conlleval, as seqeval does: an entity also begins with an I after a word outside
    or of another type. IOBES and BILOU are read strictly, as seqeval's mode `strict`: B, any number of I, then E (L), all
    of one type, or S (U) by itself; anything else is no entity.

    Args:
        tags: one a word.
        scheme: of the tags.
    """
    if scheme is Scheme.plain:
        return _lenient([(OUTSIDE, "") if tag == OUTSIDE else ("I", tag) for tag in tags])
    split = [(OUTSIDE, "") if tag == OUTSIDE else _split(tag) or ("I", tag) for tag in tags]
    return _lenient(split) if scheme is Scheme.bio else _strict(split)


def _split(tag: str) -> tuple[str, str] | None:
    """Returns letter and type of a tag such as `B-PER`, `B_PER`, `PER-B` or `B`; None for any other."""
    if found := _PREFIXED.fullmatch(tag):
        return found[1], found[2] or "_"
    if found := _SUFFIXED.fullmatch(tag):
        return found[2], found[1]
    return None


def _lenient(split: Sequence[tuple[str, str]]) -> set[Entity]:
    found: set[Entity] = set()
    start, before = 0, (OUTSIDE, "")
    for place, (letter, kind) in enumerate([*split, (OUTSIDE, "")]):
        inside = before[0] != OUTSIDE
        begins = letter != OUTSIDE and (not inside or letter == "B" or before[0] == "E" or kind != before[1])
        if inside and (begins or letter == OUTSIDE):
            found.add((before[1], start, place - 1))
        start = place if begins else start
        before = (letter, kind)
    return found


def _strict(split: Sequence[tuple[str, str]]) -> set[Entity]:
    found: set[Entity] = set()
    start: int | None = None
    kind = ""
    for place, (letter, own) in enumerate(split):
        letter = _STRICT.get(letter, letter)
        if letter == "B":
            start, kind = place, own
            continue
        if letter == "S":
            found.add((own, place, place))
        elif letter == "E" and start is not None and own == kind:
            found.add((own, start, place))
        if letter != "I" or own != kind:
            start = None
    return found
