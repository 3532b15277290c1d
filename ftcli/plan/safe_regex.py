"""Regular expressions from a configuration, matched within a time limit.

Python's `re` can need years for a pattern such as `(a+)+b`, and nothing stops it. A pattern is checked by `re`, so that
it is one of Python's, and matched by the `regex` package, which takes a time limit. `regex` writes counted repeats out
while it compiles, without a limit: their product is bounded before.
"""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import regex

from ftcli.errors import PlanError, Problem

MAX_LENGTH = 1000
"""Characters of a pattern."""
MAX_REPEATS = 10_000
"""Product of all counts such as the 3 of `a{3}`."""
SECONDS = 1.0
"""For one pattern over all names of a model; usual ones take a millisecond."""
_COUNT = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")


class SafePattern:
    """A compiled pattern; all its matches together have `SECONDS`.

    Args:
        text: the pattern.
        key: where it stands, for problems.

    Raises:
        PlanError: it is not a regular expression, too long, or a count in it is too large.
    """

    def __init__(self, text: str, key: str) -> None:
        self.text, self.key = text, key
        self.left = SECONDS
        shown = repr(text) if len(text) <= 120 else f"{text[:120]!r}..."
        if len(text) > MAX_LENGTH:
            message = f"{shown} has {len(text)} characters; a pattern has at most {MAX_LENGTH}"
            raise PlanError(Problem(key, message))
        counts = [max(map(int, filter(None, found)), default=1) for found in _COUNT.findall(text)]
        if math.prod(max(count, 1) for count in counts) > MAX_REPEATS:
            message = f"{shown}: the counts of its repeats multiply to more than {MAX_REPEATS}"
            raise PlanError(Problem(key, message, "write * or + instead of {m,n}"))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                re.compile(text)
                self.compiled: Any = regex.compile(text)
        except (re.error, regex.error) as error:
            where = f" at position {error.pos}" if error.pos is not None else ""
            message = f"{shown} is not a regular expression: {error.msg}{where}"
            hint = "special characters need a backslash: \\[ \\( \\* \\+"
            raise PlanError(Problem(key, message, hint)) from error
        except (OverflowError, RecursionError, ValueError) as error:
            raise PlanError(Problem(key, f"{shown} is not a usable regular expression: {error}")) from error

    def fullmatch(self, name: str) -> bool:
        """Returns whether the whole name matches.

        Raises:
            PlanError: the time is over.
        """
        return self._within_limit(self.compiled.fullmatch, name)

    def match(self, name: str) -> bool:
        """Returns whether the beginning of the name matches; raises as `fullmatch`."""
        return self._within_limit(self.compiled.match, name)

    def search(self, name: str) -> bool:
        """Returns whether a part of the name matches; raises as `fullmatch`."""
        return self._within_limit(self.compiled.search, name)

    def _within_limit(self, match: Callable[..., Any], name: str) -> bool:
        began = time.perf_counter()
        try:
            if self.left <= 0:
                raise TimeoutError
            return match(name, timeout=self.left) is not None
        except TimeoutError as error:
            message = f"{self.text[:120]!r} takes more than {SECONDS:g} s to match"
            hint = "take repeats out of repeats, such as (a+)+, and say what stands between"
            raise PlanError(Problem(self.key, message, hint)) from error
        finally:
            self.left -= time.perf_counter() - began
