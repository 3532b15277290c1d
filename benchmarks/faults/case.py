"""A case of hostile input, and a source of cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """One command."""

    name: str
    words: list[str]
    """Without `ftcli`."""
    folder: Path
    """Where it runs; it may write there."""
    own: bool = True
    """The folder is this case's alone, and is deleted after it."""
    control: bool = False
    """Nothing in it is hostile: exit code 0 is expected, or the other cases would show nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of hostile input."""

    title: str
    count: int
    """Cases of the committed figure."""
    cases: Callable[[Path, int, int], Iterator[Case]]
    size: int = 1
    """Cases that one process runs."""
