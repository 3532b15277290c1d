"""A phase of a schedule as written in YAML: syntax is checked, names and choices are not yet resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One name, group or pattern of a schedule."""

    text: str
    where: str
    """`file:line`."""


@dataclass(frozen=True, slots=True)
class ChoiceSpec:
    """A choice of another role, such as an optimizer, with the fields it sets."""

    name: str
    values: dict[str, Any]
    """Field -> plain value, not yet typed."""
    where: str
    """`file:line`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpec:
    """One phase of a schedule file; None means: not written."""

    index: int
    where: str
    """`file:line` of the phase's key."""
    lines: dict[str, str] = field(default_factory=dict)
    """Key -> `file:line` of where it is written."""
    params: tuple[Entry, ...] = ()
    """What begins to train: named groups, exact names or full-match regexes."""
    except_: tuple[Entry, ...] = ()
    """What of `params` does not."""
    freeze: tuple[Entry, ...] = ()
    """What stops training."""
    lr: float | None = None
    weight_decay: float | None = None
    max_transition_epoch: int | None = None
    max_epochs: float | None = None
    max_steps: int | None = None
    monitor: str | None = None
    mode: str | None = None
    patience: int | None = None
    min_delta: float | None = None
    plateau_slope: float | None = None
    plateau_window: int = 3
    warmup: str | None = None
    scheduler: ChoiceSpec | None = None
    optimizer: ChoiceSpec | None = None
    layerwise: dict[str, Any] | None = None
    older_groups: str = "keep"
    """`keep`: their own lr and weight decay; `follow`: this phase's."""
    restore_best: bool = True
    best: str = "carry"
    moments: str = "keep"
    notes: tuple[str, ...] = field(default=())

    def at(self, key: str) -> str:
        """Returns `file:line: key`, for a problem with its value."""
        return f"{self.lines.get(key, self.where)}: {key}"
