"""Where a run stands: everything a resume needs beside tensors, as plain JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one optimizer step shows in the log, beside the sums of its window."""

    grad_norm: float
    """Global L2 norm of the gradients before clipping."""
    lrs: dict[str, float]
    """Name of each parameter group -> the lr of the step."""
    loss_scale: float | None = None
    """fp16's loss scale after the step; None in other precisions."""


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

    def add(self, other: Window) -> None:
        """Adds the sums of later steps."""
        self.steps += other.steps
        self.loss_sum += other.loss_sum
        self.targets += other.targets
        both = self.correct is not None and other.correct is not None
        self.correct = (self.correct or 0) + (other.correct or 0) if both else None
        self.rows += other.rows
        self.tokens += other.tokens
        self.seconds += other.seconds


@dataclass(slots=True)
class TrainState:
    """Counters of optimizer steps, and what was decided on the way.

    Sample order and randomness are functions of (seed, epoch, batch, step), so these counters are
    all that is needed to continue exactly. The field names are those of state.json in a checkpoint.
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
    """Wall time of the run, in seconds, when this phase began."""
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
    """Whether the best evaluation read cached activations of the frozen prefix."""
    bad_evaluations: int = 0
    """Evaluations in a row without improvement."""
    skipped_steps: int = 0
    """Steps whose infinite gradients the scaler threw away."""
    skipped_in_row: int = 0
    train_seconds: float = 0.0
    """Wall time in training steps, in seconds, over all processes that trained the run."""
    wall_seconds: float = 0.0
    """Wall time of the run, in seconds, at its last save."""
    curve_steps: int = 0
    """Length of the lr curve this state was trained with."""
    last_eval: dict[str, float] = field(default_factory=dict)
    best_eval: dict[str, float] = field(default_factory=dict)
    window: Window = field(default_factory=Window)

    def to_json(self) -> dict[str, Any]:
        """Returns the state as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainState:
        """Returns the state that `to_json` wrote."""
        values = dict(values)
        window = Window(**values.pop("window"))
        return cls(**values, window=window)

    def load_json(self, values: dict[str, Any]) -> None:
        """Becomes the state that `to_json` wrote, in place: trainer, step and log share this object."""
        saved = TrainState.from_json(values)
        for one in fields(self):
            setattr(self, one.name, getattr(saved, one.name))

    def count_step(self, done: Window) -> None:
        """Counts one optimizer step; `done` holds its sums."""
        self.step += 1
        self.phase_step += 1
        self.batch += 1
        self.rows_seen += done.rows
        self.tokens_seen += done.tokens
