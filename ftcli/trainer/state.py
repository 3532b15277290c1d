"""Where a run stands: everything a resume needs beside tensors, as plain JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Window:
    """Sums since the last log line; part of the state, so that a resumed log continues the line."""

    steps: int = 0
    loss_sum: float = 0.0
    targets: int = 0
    correct: int | None = 0
    """None for a task in which nothing is right or wrong."""
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class TrainState:
    """Counters of optimizer steps, and what was decided on the way.

    Sample order and randomness are functions of (seed, epoch, batch, step), so these counters are
    all that is needed to continue exactly.
    """

    phase: int = 0
    phase_step: int = 0
    """Optimizer steps taken in this phase."""
    phase_start: int = 0
    """Step of the run after which this phase began."""
    phase_scores: list[float] = field(default_factory=list)
    """The monitored figure of this phase's evaluations."""
    phase_ended: str = ""
    """What ended this phase; empty while it goes on."""
    phase_seconds: float = 0.0
    """Wall time of the run when this phase began."""
    phases: list[dict[str, Any]] = field(default_factory=list)
    """A record of each phase that is over."""
    curve: dict[str, Any] = field(default_factory=dict)
    """State of a scheduler that is no pure function of the step."""
    step: int = 0
    """Optimizer steps taken; one whose infinite gradients the scaler threw away counts too."""
    events: int = 0
    """Events logged so far: a resume keeps as many lines of metrics.jsonl."""
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch already consumed."""
    rows_seen: int = 0
    tokens_seen: int = 0
    evaluated_step: int = 0
    """Step of the last complete evaluation; 0 before the first."""
    best_step: int | None = None
    best_score: float | None = None
    best_from_prefix: bool = False
    """Whether the best evaluation read kept activations of the frozen prefix."""
    bad_evaluations: int = 0
    """Evaluations in a row without improvement."""
    skipped_steps: int = 0
    """Steps whose infinite gradients the scaler threw away."""
    skipped_in_row: int = 0
    train_seconds: float = 0.0
    """Wall time in training steps, over all sessions of the run."""
    wall_seconds: float = 0.0
    curve_steps: int = 0
    """Length of the lr curve this state was trained with."""
    last_eval: dict[str, float] = field(default_factory=dict)
    best_eval: dict[str, float] = field(default_factory=dict)
    window: Window = field(default_factory=Window)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainState:
        values = dict(values)
        window = Window(**values.pop("window"))
        return cls(**values, window=window)
