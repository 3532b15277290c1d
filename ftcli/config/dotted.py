"""Nested mappings <-> dotted keys such as `optimizer.lr`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(node: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted key and the value of everything in nested mappings; a list is one value."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


REFERENCE = (
    "${...} is refused: a configuration refers to nothing and runs no code",
    "write the value itself",
)
"""Message and hint on OmegaConf's references and resolvers, such as `${oc.env:HOME}`."""


def texts_in(value: Any) -> Iterator[str]:
    """Yields every text in a value, keys of mappings included."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts_in(key)
            yield from texts_in(inner)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, str):
        yield value


def holds_reference(value: Any) -> bool:
    """Returns whether a value holds `${`, which OmegaConf would resolve."""
    return any("${" in text for text in texts_in(value))
