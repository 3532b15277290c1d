"""What every reader of files returns: columns of plain values, before anything is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Content:
    """What stands in a file: all its columns, in its order."""

    columns: dict[str, list[Any]]
    """Column -> values, all of one length."""
    line_numbers: list[int] | None = None
    """First line of each row, from 1; None where the format has no lines."""
    class_names: dict[str, list[str]] = field(default_factory=dict)
    """Column -> names of the ids 0, 1, ..., where the file declares them."""
    sha256: str = ""
    """Hex digest of the file's bytes, or of the columns where there is no one file."""
    unnamed: bool = False
    """Whether the format names no columns: the first holds words, the second tags."""


def kind_of(value: Any) -> str:
    """Returns `text`, `a number`, ... for messages."""
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    names |= {str: "text", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")
