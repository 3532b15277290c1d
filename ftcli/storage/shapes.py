"""The shape that plain values must have, stated as plain values.

A type stands for its values (float for every number; a bool is no number), a range for whole numbers in it, a tuple for one of
its texts, `[shape]` for a list, `{"key": shape}` for an object with at least these keys, `{str: shape}` for an object with any
keys, `Maybe(shape)` for null too, `Given(shape)` for a key that may be missing, None for anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NATURAL = range(2**53)
"""Shape of a counter: JSON numbers above it are not exact in every reader, and no counter of a run comes near."""
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Maybe:
    """null, or the shape."""

    shape: Any


@dataclass(frozen=True, slots=True)
class Given:
    """Shape of a key's value, where there is such a key."""

    shape: Any


def misfit(value: Any, shape: Any, place: str = "") -> str | None:
    """Returns where a value has not the shape, and what is expected there; None where all of it fits.

    Args:
        value: plain values, as from JSON.
        shape: as the module says.
        place: of the value in the whole, such as `parts.train`.
    """
    if shape is None or isinstance(shape, Maybe) and value is None:
        return None
    if isinstance(shape, Maybe):
        return misfit(value, shape.shape, place)
    if isinstance(shape, dict):
        return _misfit_object(value, shape, place)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _expected(place, "a list")
        found = (misfit(one, shape[0], f"{place}[{number}]") for number, one in enumerate(value))
        return next((wrong for wrong in found if wrong is not None), None)
    return None if _is_a(value, shape) else _expected(place, _named(shape))


def _misfit_object(value: Any, shape: dict[Any, Any], place: str) -> str | None:
    if not isinstance(value, dict):
        return _expected(place, "an object with keys")
    for key, inner in shape.items():
        if key is not str and key not in value and not isinstance(inner, Given):
            return f"{_join(place, key)} is missing"
    for key, one in value.items():
        if not isinstance(key, str):
            return _expected(_join(place, key), "a key that is text")
        inner = shape.get(key, shape.get(str))
        inner = inner.shape if isinstance(inner, Given) else inner
        if (wrong := misfit(one, inner, _join(place, key))) is not None:
            return wrong
    return None


def _is_a(value: Any, shape: Any) -> bool:
    if isinstance(value, bool) or shape is bool:
        return isinstance(value, bool) and shape is bool
    if isinstance(shape, range):
        return isinstance(value, int) and value in shape
    if isinstance(shape, tuple):
        return value in shape
    return isinstance(value, int | float if shape is float else shape)


def _named(shape: Any) -> str:
    if isinstance(shape, range):
        return f"a whole number from {shape.start:,} to {shape.stop - 1:,}"
    return "one of " + ", ".join(shape) if isinstance(shape, tuple) else NAMES[shape]


def _expected(place: str, what: str) -> str:
    return f"{place or 'it'} is not {what}"


def _join(place: str, key: Any) -> str:
    return f"{place}.{key}" if place else str(key)
