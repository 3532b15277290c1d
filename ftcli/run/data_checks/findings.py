"""What a check of the data found: facts, warnings, and errors that end a run before step one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ftcli.config.schema import DATA_CHECKS
from ftcli.config.shell_word import shell_word
from ftcli.errors import ContractError, Problem

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows

SHOWN = 5
"""Rows that a finding names."""


class Level(Enum):
    fact = "fact"
    warning = "warning"
    error = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, with the rows it is about and the override that would change it."""

    name: str
    level: Level
    text: str
    hint: str = ""
    where: tuple[str, ...] = ()
    """`file:line` of the first rows at fault."""

    def to_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self) | {"level": self.level.value, "where": list(self.where)}

    @property
    def line(self) -> str:
        """Text and places in one line; a file is named once."""
        shown, last = [], ""
        for place in self.where:
            file, _, number = place.rpartition(":")
            shown.append(f":{number}" if file and file == last else place)
            last = file
        return self.text + (f" ({', '.join(shown)})" if shown else "")


def places(rows: Rows, numbers: Iterable[int]) -> tuple[str, ...]:
    """Returns where the first of some rows stand."""
    return tuple(rows.where(number) for number, _ in zip(numbers, range(SHOWN), strict=False))


def share_level(count: int, of: int, limit: float) -> Level:
    """Returns error where more than a share of the rows is at fault, warning where less is.

    Args:
        count: rows at fault.
        of: rows in all.
        limit: the share.
    """
    return Level.error if count > limit * of else Level.warning


def refuse(findings: Sequence[Finding]) -> None:
    """Raises ContractError with every error among the findings."""
    errors = [finding for finding in findings if finding.level is Level.error]
    if errors:
        raise ContractError(*(Problem(f.name, f.line, f"{f.hint}; {accepting([f])}") for f in errors))


def accepting(findings: Sequence[Finding]) -> str:
    """Returns the words that go on in spite of the errors among the findings; '' where there is none to accept."""
    names = [f.name for f in findings if f.level is Level.error and f.name in DATA_CHECKS]
    if not names:
        return ""
    return f"{shell_word('data.accept', list(dict.fromkeys(names)))} goes on all the same"
