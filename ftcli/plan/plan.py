"""The Plan: which tensors train, in which parameter groups, at which rates and for how long.

A plain run is a plan of one phase. Plans hold typed values and no tensors: they are printed, written to
plan.json and compared. `planner.py` makes them.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ftcli.config.choice import Choice, plain_values
from ftcli.config.schema import OptimizerConfig, SchedulerConfig
from ftcli.plan.patterns import Hit


@dataclass(frozen=True, slots=True)
class Group:
    """One parameter group of the optimizer."""

    name: str
    """Such as `phase0.head.decay`."""
    params: tuple[str, ...]
    """Names of its tensors."""
    lr: float
    """Peak learning rate; the scheduler's multiplier of each step is applied to it."""
    weight_decay: float
    num_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """When a phase ends: at the first of these to come, and with the run in any case."""

    max_transition_epoch: int | None = None
    """Epochs of the run, counted from its start."""
    max_epochs: float | None = None
    """Passes over the training rows within the phase."""
    max_steps: int | None = None
    """Optimizer steps within the phase."""
    patience: int | None = None
    """Evaluations of the phase in a row without improvement."""
    min_delta: float = 0.0
    """Smallest change of the monitored metric that counts as an improvement."""
    plateau_slope: float | None = None
    """Gain an evaluation, by least squares over the last `plateau_window`, below which the phase ends."""
    plateau_window: int = 3
    """Evaluations the slope is fitted to; at least 2."""

    def limit(self, *, start: int, steps_per_epoch: int, total_steps: int) -> int:
        """Returns the most steps a phase can take, at least 1.

        A `max_transition_epoch` that is past already leaves the phase the rest of one epoch.

        Args:
            start: steps of the run before the phase.
            steps_per_epoch: optimizer steps of one pass over the training rows.
            total_steps: of the run.
        """
        ends = [total_steps - start]
        if self.max_steps is not None:
            ends.append(self.max_steps)
        if self.max_epochs is not None:
            ends.append(math.ceil(self.max_epochs * steps_per_epoch - 1e-9))
        if self.max_transition_epoch is not None:
            next_epoch = (start // steps_per_epoch + 1) * steps_per_epoch
            ends.append(max(self.max_transition_epoch * steps_per_epoch, next_epoch) - start)
        return max(min(ends), 1)

    def reason(self, *, start: int, step: int, steps_per_epoch: int) -> str:
        """Returns the count that ends the phase now, in words, or ''.

        Early stopping and slopes are not looked at here: they need scores.

        Args:
            start: steps of the run before the phase.
            step: steps of the run so far.
            steps_per_epoch: optimizer steps of one pass over the training rows.
        """
        far = 2**62
        if self.max_steps is not None and step - start >= self.max_steps:
            return _counted(self.max_steps, "step")
        epochs = Trigger(max_epochs=self.max_epochs)
        if self.max_epochs is not None and step - start >= epochs.limit(
            start=start, steps_per_epoch=steps_per_epoch, total_steps=far
        ):
            return _counted(self.max_epochs, "epoch")
        until = Trigger(max_transition_epoch=self.max_transition_epoch)
        if self.max_transition_epoch is not None and step - start >= until.limit(
            start=start, steps_per_epoch=steps_per_epoch, total_steps=far
        ):
            return f"epoch {self.max_transition_epoch} of the run"
        return ""

    def describe(self) -> str:
        """Returns the rule in words, for tables."""
        rules = []
        if self.max_transition_epoch is not None:
            rules.append(f"after epoch {self.max_transition_epoch} of the run")
        if self.max_epochs is not None:
            rules.append(f"after {_counted(self.max_epochs, 'epoch')}")
        if self.max_steps is not None:
            rules.append(f"after {_counted(self.max_steps, 'step')}")
        if self.patience is not None:
            least = f" of more than {self.min_delta:g}" if self.min_delta else ""
            rules.append(f"after {_counted(self.patience, 'evaluation')} without improvement{least}")
        if self.plateau_slope is not None:
            rules.append(f"when {self.plateau_window} evaluations gain less than {self.plateau_slope:g} each")
        return ", or ".join(rules) or "end of run"


def _counted(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What happens as a phase begins, the first one excepted."""

    restore_best: bool = True
    """Model, optimizer moments and scaler go back to the best checkpoint first."""
    keep_best: bool = True
    """The best score carries over; False: the phase's first evaluation is its best so far."""
    keep_moments: bool = True
    """The optimizer's state of tensors that trained before carries over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the run in which the same tensors train; names are in the model's order."""

    index: int
    trainable: tuple[str, ...]
    groups: tuple[Group, ...]
    hits: tuple[Hit, ...]
    optimizer: Choice[OptimizerConfig]
    """Its `lr` is the phase's; each group's lr is that times the factors of its tensors."""
    scheduler: Choice[SchedulerConfig]
    monitor: str | None = None
    """Metric that decides best and early stopping; None: `trainer.monitor`."""
    mode: str = "auto"
    trigger: Trigger = field(default_factory=Trigger)
    transition: Transition = field(default_factory=Transition)
    num_trainable_parameters: int = 0
    where: str = ""
    """`file:line` of the schedule it is written in."""

    @property
    def end(self) -> str:
        """The rule that ends the phase, in words."""
        return self.trigger.describe()

    def curve_steps(self, longest: int) -> int:
        """Returns the steps of the lr curve: `scheduler.total_steps`, or the most steps the phase can last."""
        return self.scheduler.config.total_steps or longest


@dataclass(frozen=True, slots=True)
class Plan:
    """All phases, and the totals that a reader wants first."""

    phases: tuple[Phase, ...]
    num_tensors: int
    num_parameters: int
    tied: tuple[tuple[str, ...], ...]
    """Names of each tensor that has several, the one used everywhere first."""
    frozen_units: tuple[str, ...]
    """Units in which nothing trains in any phase, bottom to top."""
    start_phase: int = 0
    """Phase in which the run begins."""
    decisions: tuple[str, ...] = ()
    """What was decided for the user, one line each."""

    @property
    def num_trainable_tensors(self) -> int:
        """Tensors of the phase that trains most."""
        most = max(self.phases, key=lambda phase: phase.num_trainable_parameters, default=None)
        return len(most.trainable) if most else 0

    @property
    def num_trainable_parameters(self) -> int:
        """Parameters of the phase that trains most."""
        return max((phase.num_trainable_parameters for phase in self.phases), default=0)

    @property
    def trainable_share(self) -> float:
        """`num_trainable_parameters / num_parameters`, in [0, 1]."""
        return self.num_trainable_parameters / self.num_parameters if self.num_parameters else 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns plain dicts, lists, strings and numbers."""
        data = {
            "num_trainable_tensors": self.num_trainable_tensors,
            "num_trainable_parameters": self.num_trainable_parameters,
            "trainable_share": self.trainable_share,
            "phases": [_phase_to_json(phase) for phase in self.phases],
            "num_tensors": self.num_tensors,
            "num_parameters": self.num_parameters,
            "tied": self.tied,
            "frozen_units": self.frozen_units,
            "start_phase": self.start_phase,
            "decisions": self.decisions,
        }
        plain: dict[str, Any] = json.loads(json.dumps(data))
        return plain


def _phase_to_json(phase: Phase) -> dict[str, Any]:
    """Writes each choice as its name and its values, such as `optimizer` and `optimizer_values`."""
    written: dict[str, Any] = {}
    for key in (one.name for one in fields(phase)):
        value = getattr(phase, key)
        if isinstance(value, Choice):
            written |= {key: value.name, f"{key}_values": plain_values(value.config)}
        elif isinstance(value, Trigger | Transition):
            written[key] = asdict(value)
        elif key in ("groups", "hits"):
            written[key] = [asdict(one) for one in value]
        else:
            written[key] = value
    return written
