"""The Plan: which tensors train, in which groups, how hard and for how long.

A plain run is a plan of one phase. Plans are plain values: printed, written to plan.json, compared.
`planner.py` makes them.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ftcli.plan.patterns import Hit


@dataclass(frozen=True, slots=True)
class Group:
    """One parameter group of the optimizer."""

    name: str
    params: tuple[str, ...]
    lr: float
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
    """Smallest change of the monitored figure that counts as an improvement."""
    plateau_slope: float | None = None
    """Gain an evaluation, by least squares over the last `plateau_window`, below which the phase ends."""
    plateau_window: int = 3
    """Evaluations the slope is fitted to; at least 2."""

    def limit(self, *, start: int, steps_per_epoch: int, total_steps: int) -> int:
        """Returns the most steps a phase can take that begins after step `start` of the run.

        A `max_transition_epoch` that is past already leaves the phase the rest of one epoch.
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
        """Returns which count ends a phase that began after step `start` and stands at `step`, or ``.

        Early stopping and slopes are not counted here: they need scores.
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

    def words(self) -> str:
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
    """A stretch of training in which the same tensors train; names are in the model's order."""

    index: int
    trainable: tuple[str, ...]
    groups: tuple[Group, ...]
    hits: tuple[Hit, ...]
    optimizer: str
    optimizer_values: dict[str, Any]
    scheduler: str
    scheduler_values: dict[str, Any]
    monitor: str | None = None
    """Figure that decides best and early stopping; None: `trainer.monitor`."""
    mode: str = "auto"
    trigger: Trigger = field(default_factory=Trigger)
    transition: Transition = field(default_factory=Transition)
    num_trainable_parameters: int = 0
    where: str = ""
    """`file:line` of the schedule it is written in."""

    @property
    def warmup(self) -> str:
        return str(self.scheduler_values.get("warmup", "0"))

    @property
    def end(self) -> str:
        return self.trigger.words()


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
        totals = {
            "num_trainable_tensors": self.num_trainable_tensors,
            "num_trainable_parameters": self.num_trainable_parameters,
            "trainable_share": self.trainable_share,
        }
        plain: dict[str, Any] = json.loads(json.dumps(totals | asdict(self)))
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """Reads what `to_json` gave; the derived totals are computed anew."""
        return cls(
            phases=tuple(_phase_from_json(phase) for phase in data["phases"]),
            num_tensors=data["num_tensors"],
            num_parameters=data["num_parameters"],
            tied=tuple(tuple(names) for names in data["tied"]),
            frozen_units=tuple(data["frozen_units"]),
            start_phase=data["start_phase"],
            decisions=tuple(data["decisions"]),
        )


def _phase_from_json(data: dict[str, Any]) -> Phase:
    groups = tuple(Group(**{**g, "params": tuple(g["params"])}) for g in data["groups"])
    hits = tuple(Hit(**{**h, "names": tuple(h["names"])}) for h in data["hits"])
    rules = {"trigger": Trigger(**data["trigger"]), "transition": Transition(**data["transition"])}
    return Phase(**{**data, "trainable": tuple(data["trainable"]), "groups": groups, "hits": hits, **rules})


def plan_differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Returns a line for everything in which two plans, as JSON, train differently.

    When a phase ends by scores may change between sessions of a run, as trainer.patience may.
    """
    lines = []
    if len(then["phases"]) != len(now["phases"]):
        lines.append(f"{len(then['phases'])} phases were planned, there are {len(now['phases'])} now")
    for index, (old, new) in enumerate(zip(then["phases"], now["phases"], strict=False)):
        before = len(lines)
        for key in ("trainable", "optimizer", "optimizer_values", "scheduler", "scheduler_values", "monitor", "mode",
                    "transition", "groups", "trigger"):  # fmt: skip
            was, is_now = old[key], new[key]
            if key == "trigger":
                free = ("patience", "min_delta", "plateau_slope", "plateau_window")
                was, is_now = ({k: v for k, v in values.items() if k not in free} for values in (was, is_now))
            # Groups follow from what trains and from the rates: said only where nothing else is.
            if was != is_now and (key != "groups" or len(lines) == before):
                lines.append(f"phase {index}: {_difference(key, was, is_now)}")
    return lines


def _difference(key: str, was: Any, is_now: Any) -> str:
    if key == "trainable":
        gone, come = sorted(set(was) - set(is_now)), sorted(set(is_now) - set(was))
        parts = [f"{len(names)} tensors {word}, such as {names[0]}" for names, word in ((come, "more train"), (gone, "fewer train")) if names]  # fmt: skip
        return "; ".join(parts)
    if isinstance(was, dict):
        keys = [k for k in is_now if was.get(k) != is_now[k]]
        return ", ".join(f"{key}.{k} was {was.get(k)}, is {is_now[k]}" for k in keys)
    if key == "groups":
        rates = [{g["name"]: (g["lr"], g["weight_decay"]) for g in groups} for groups in (was, is_now)]
        changed = [name for name in rates[1] if rates[0].get(name) != rates[1][name]]
        name = changed[0] if changed else "groups"
        return f"{name} was {rates[0].get(name)}, is {rates[1].get(name)} (lr, weight decay)"
    return f"{key} was {was}, is {is_now}"
