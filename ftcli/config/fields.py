"""What a field of a configuration says besides its type: its bounds, and what `resume` does with a change of it.

Both stand in the annotation: `epochs: Annotated[float, POSITIVE, RECORDED] = 3.0`. A field without bounds has
those of its type: numbers are finite and fit 32 bits, texts can be written as UTF-8 and are no longer than
a path. A field without a tag is one that `resume` refuses to change.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

LARGEST_INT = 2**31 - 1
"""Of a whole number: what C libraries take as an int."""
LARGEST_SEED = 2**63 - 1
"""What torch's generators take."""
MAX_TEXT = 4096
"""Characters of a text: the longest path on Linux."""
MAX_ITEMS = 100_000
"""Entries of a list."""


class OnResume(Enum):
    """What `resume` and `train --resume` do with another value than the run began with."""

    recorded = "recorded"
    """Accepted and written to the run's config.yaml: it moves the end, the evaluations or the saves, no step."""
    allow_change = "with --allow-change"
    """Accepted where the command says `--allow-change freezing`."""
    refused = "refused"
    """It would be another run."""


RECORDED, ALLOW_CHANGE = OnResume.recorded, OnResume.allow_change


@dataclass(frozen=True, slots=True)
class Bounds:
    """The values that a number may have."""

    low: float = -LARGEST_INT
    high: float = LARGEST_INT
    above: bool = False
    """`low` itself is not allowed."""
    below: bool = False
    """`high` itself is not allowed."""

    def wrong(self, value: float) -> str:
        """Returns what was expected instead of a value, or ''."""
        if isinstance(value, float) and not math.isfinite(value):
            return "expected a number that is not nan or infinite"
        if value < self.low or (self.above and value == self.low):
            return f"expected {'a number above' if self.above else 'at least'} {self.low:.15g}"
        if value > self.high or (self.below and value == self.high):
            return f"expected {'a number below' if self.below else 'at most'} {self.high:.19g}"
        return ""


COUNT = Bounds(1)
NOT_NEGATIVE = Bounds(0)
POSITIVE = Bounds(0, above=True)
SHARE = Bounds(0, 1, below=True)
"""From 0 to below 1, such as a probability of dropout."""
SEED = Bounds(0, LARGEST_SEED)
ANY_NUMBER = Bounds()


def on_resume(config_class: type, path: str) -> OnResume:
    """Returns the tag of a field.

    Args:
        config_class: a role's configuration class.
        path: the key without its role, such as `layerwise.decay`.
    """
    return next((one for one in extras(config_class, path) if isinstance(one, OnResume)), OnResume.refused)


def wrong_value(config_class: type, path: str, value: Any) -> str:
    """Returns what was expected instead of a value whose type fits, or ''."""
    bounds = next((one for one in extras(config_class, path) if isinstance(one, Bounds)), ANY_NUMBER)
    if isinstance(value, list | tuple):
        if len(value) > MAX_ITEMS:
            return f"expected at most {MAX_ITEMS} entries"
        return next((wrong for wrong in (_wrong(one, bounds) for one in value) if wrong), "")
    return _wrong(value, bounds)


def wrong_text(value: str) -> str:
    """Returns what is wrong with a text that no file or path can hold, or ''."""
    if len(value) > MAX_TEXT:
        return f"expected text of at most {MAX_TEXT} characters, got {len(value)}"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "expected UTF-8 text: bytes of another encoding are in it"
    if any(ord(character) < 32 and character not in "\t\n" for character in value):
        return "expected text without control characters"
    return ""


def extras(config_class: type, path: str) -> Iterator[Any]:
    """Yields what stands behind the type in the annotation of a field."""
    kind: Any = config_class
    for name in path.split("."):
        kind = _hints(kind)[name]
        if get_origin(kind) is Annotated:
            kind, *found = get_args(kind)
            yield from found if dataclasses.is_dataclass(kind) is False else ()


@functools.cache
def _hints(config_class: type) -> dict[str, Any]:
    return get_type_hints(config_class, include_extras=True)


def _wrong(value: Any, bounds: Bounds) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int | float):
        return bounds.wrong(value)
    return wrong_text(value) if isinstance(value, str) else ""
