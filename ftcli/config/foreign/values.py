"""What our keys take, and the general rules by which the value of another tool's setting becomes one of ours."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from ftcli.config.bundled import conf_files
from ftcli.config.foreign.answer import Answer, Typed
from ftcli.config.foreign.choices import answer_choice, slug
from ftcli.errors import did_you_mean

Rule = Callable[[str, Typed], Answer]
"""(value as typed, the command's words) -> what to type instead."""


@dataclass(frozen=True, slots=True)
class Takes:
    """The numbers that a key takes; other values are answered by saying so, for no word would compose."""

    what: str
    fits: Callable[[float], bool]
    whole: bool = False
    """500.0 is written 500."""


COUNT = Takes("a whole number from 1", lambda n: n >= 1, whole=True)
STEPS = Takes("a whole number of steps from 1", lambda n: n >= 1, whole=True)
INDEX = Takes("a whole number from 0", lambda n: n >= 0, whole=True)
CLASSES = Takes("a whole number from 2", lambda n: n >= 2, whole=True)
POSITIVE = Takes("a number above 0", lambda n: n > 0)
NOT_NEGATIVE = Takes("a number from 0", lambda n: n >= 0)
SHARE = Takes("a share from 0 to 1", lambda n: 0 <= n <= 1)
PROBABILITY = Takes("a number from 0 to below 1", lambda n: 0 <= n < 1)
FACTOR = Takes("a factor above 0 and at most 1", lambda n: 0 < n <= 1)
HALF = Takes("a share of the training rows, above 0 and at most 0.5", lambda n: 0 < n <= 0.5)

_FALSE = ("false", "no", "none", "null", "0", "off", "disabled", "never", "do-not-truncate")
_REGEX = re.compile(r"[\\^$*+?|(){}]")


# --- values ------------------------------------------------------------------------------------------------


def number(value: str) -> float | None:
    """Returns a finite number, or None."""
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def whole(value: str) -> int | None:
    """Returns a whole number, also of `500.0` and `1e3`, or None."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def fitted(value: str, takes: Takes) -> str | None:
    """Returns a number as our key takes it, or None."""
    found = whole(value) if takes.whole else number(value)
    if found is None or not takes.fits(found):
        return None
    return str(found) if takes.whole else value.strip()


def is_none(value: str) -> bool:
    """Returns whether a value says that nothing is set."""
    return slug(value) in ("none", "null")


def is_on(value: str) -> bool:
    """Returns whether a switch is on: no value, `true`, or the name of a way to do it, as in `compile=max-autotune`."""
    found = number(value)
    return slug(value) not in _FALSE and (found is None or found > 0)


def listed(value: str) -> list[str]:
    """Returns the items of `a,b`, `[a, b]` or JSON; a quoted item may hold anything."""
    return [a or b or c for a, b, c in re.findall(r"'([^']*)'|\"([^\"]*)\"|([^\s,\[\]'\"]+)", value)]


def is_regex(value: str) -> bool:
    """Returns whether a value is a regex rather than names; brackets around a list are none."""
    return bool(_REGEX.search(value))


def as_list(items: list[str]) -> str:
    """Returns `[a,b]` in Hydra's grammar; an item that is no plain name is quoted."""
    return "[" + ",".join(i if re.fullmatch(r"[\w.*@:/-]+", i) else f'"{i}"' for i in items) + "]"


# --- rules -------------------------------------------------------------------------------------------------


def refused(key: str, what: str, *, none: str = "", why: str = "") -> Answer:
    """Returns what a key takes, where a value does not fit and there is no word to type."""
    null = ", or null" if none == "null" else ""
    return Answer(note=f"{key} takes {what}{null}" + (f": {why}" if why else ""))


def renamed(
    key: str,
    takes: Takes | None = None,
    *,
    needs: str = "",
    none: str = "",
    off_below: float | None = None,
    why: str = "",
) -> Rule:
    """The same value under our key.

    Args:
        key: ours.
        takes: which numbers; None: any text.
        needs: see `Answer.needs`.
        none: what None is here, `null` or `0`; empty: there is no such value.
        off_below: smaller numbers are None, as in max_steps=-1.
        why: said where a value does not fit.
    """

    def rule(value: str, typed: Typed) -> Answer:
        found = number(value)
        off = is_none(value) or (off_below is not None and found is not None and found < off_below)
        if off and none:
            return Answer((f"{key}={none}",), needs=needs)
        if not value:
            return Answer((f"{key}=VALUE",), needs=needs)
        ours = None if off else fitted(value, takes) if takes else value
        if ours is None:
            return refused(key, takes.what if takes else "a name", none=none, why=why)
        return Answer((f"{key}={ours}",), needs=needs)

    return rule


def steps(key: str, *, none: str = "") -> Rule:
    """A number of steps; the Trainer also reads shares of a run, for which there is no counterpart."""

    def rule(value: str, typed: Typed) -> Answer:
        found = number(value)
        share = found is not None and 0 < found < 1
        why = "a share of the run is not read" if share else ""
        return renamed(key, STEPS, none=none, why=why)(value, typed)

    return rule


def names(key: str, *, needs: str = "") -> Rule:
    """Several names, written `a,b`, `[a, b]` or as JSON, under our key as `[a,b]`; regexes stay whole if quoted."""

    def rule(value: str, typed: Typed) -> Answer:
        # An unquoted bracket or comma within a regex cannot be distinguished from those of the list.
        doubtful = is_regex(value.replace(".*", "")) and not re.search(r"['\"]", value)
        if is_none(value) or doubtful:
            return refused(
                key,
                "a list of names such as [a,b]; regexes in it are quoted" if doubtful else "a list of names",
            )
        return Answer((f"{key}={as_list(listed(value) or ['NAME'])}",), needs=needs)

    return rule


def switch(on: Answer, off: Answer | None = None, *, rivals: str = "") -> Rule:
    """A boolean, or a flag without value.

    Args:
        on: where it is true.
        off: where it is false, by default nothing to type.
        rivals: settings of the same thing; a false switch says nothing where one of them is typed.
    """

    def rule(value: str, typed: Typed) -> Answer:
        if is_on(value):
            return on
        rival = next((name for name in rivals.split() if name in typed and is_on(typed[name])), None)
        if rival:
            return Answer(note=f"leave it out: {rival} is typed")
        return off or Answer(note="leave it out, it is off by default")

    return rule


def boolean(key: str, *, needs: str = "") -> Rule:
    """A boolean under our key."""
    return switch(Answer((f"{key}=true",), needs=needs), Answer((f"{key}=false",), needs=needs))


def absent(note: str) -> Rule:
    """There is no such setting; `note` says what there is, or why none is needed."""
    return lambda value, typed: Answer(note=note)


def choice(role: str) -> Rule:
    """A choice of one of our groups."""

    def rule(value: str, typed: Typed) -> Answer:
        return answer_choice(role, value, typed) or Answer(
            note=f"{role}: {did_you_mean(value, conf_files(role))}"
        )

    return rule
