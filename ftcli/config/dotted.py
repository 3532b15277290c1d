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
