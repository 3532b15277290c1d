"""What a trainer is made of: objects only, no YAML and no registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

from ftcli.batching.token_table import TokenTable
from ftcli.checkpoint.store import CheckpointStore
from ftcli.plan.plan import Phase, Plan
from ftcli.runtime.timers import OFF, Clock
from ftcli.trainer.activation_cache.cache import ActivationCache
from ftcli.trainer.early_stopping import Monitor
from ftcli.trainer.evaluation import Evaluator
from ftcli.trainer.forward import Forward
from ftcli.trainer.micro_batching import MicroBatching

if TYPE_CHECKING:
    from ftcli.batching.protocols import PredictingTask


class Reporter(Protocol):
    """Where the loop writes lines for the user: console and train.log."""

    def note(self, line: str) -> None:
        """Prints one line about a decision or an event."""

    def train(self, event: dict[str, Any], total_steps: int) -> None:
        """Shows a `train` event, the figures since the last one."""

    def advance(self, step: int, total_steps: int) -> None:
        """Moves the progress bar to a step."""

    def evaluation(self, event: dict[str, Any], best: bool) -> None:
        """Shows an `eval` event; `best`: its score is the best so far."""


class EventLog(Protocol):
    """metrics.jsonl and whatever else the logger role writes."""

    def log(self, event: dict[str, Any]) -> None:
        """Writes one event."""

    def flush(self) -> None:
        """Makes the events so far durable."""


@runtime_checkable
class ScoredLrLambda(Protocol):
    """A scheduler whose curve depends on the scores so far, such as plateau; a resume needs its state."""

    def __call__(self, step: int) -> float:
        """Returns the multiplier of the lr at a 0-based step of the phase."""

    def observe(self, score: float, higher_is_better: bool) -> bool:
        """Takes the score of an evaluation; returns whether the lr was lowered."""

    def state(self) -> dict[str, float | int | None]:
        """Returns what a resume needs, as plain JSON."""

    def load_state(self, state: dict[str, float | int | None]) -> None:
        """Restores what `state` returned."""


@dataclass(slots=True, kw_only=True)
class PhaseObjects:
    """The objects of one phase of the plan."""

    optimizer: torch.optim.Optimizer
    lr_lambda: Callable[[int], float]
    """Step of the phase (0-based) -> multiplier of each group's lr, as in torch's LambdaLR."""
    monitor: Monitor
    frozen_modules: list[str]
    """Modules kept in eval mode because nothing in them trains."""


@dataclass(slots=True, kw_only=True)
class TrainerContext:
    """The objects a trainer works with; `run.build.build_trainer` makes them in one stated order."""

    model: torch.nn.Module
    forward: Forward
    """Collates training rows and runs their loss."""
    plan: Plan
    enter: Callable[[Phase, int], PhaseObjects]
    """(phase, length of its lr curve in steps) -> its objects; sets requires_grad to what it trains."""
    train: TokenTable
    validation: TokenTable | None
    evaluator: Evaluator
    store: CheckpointStore | None
    """None: nothing is saved, as in overfit-batch."""
    events: EventLog
    reporter: Reporter
    saved_names: frozenset[str]
    """Tensors of the model that a checkpoint holds: whatever differs from the source's bytes."""
    fast_paths: bool = False
    """Gradients of large embedding tables as the rows a step touches."""
    seed: int
    micro_batching: MicroBatching
    """How finely batches are split for the device's memory."""
    regularisers: Sequence[Callable[[torch.nn.Module], torch.Tensor]] = field(default_factory=tuple)
    """Each returns a scalar added once to a step's mean loss; the seam for EWC, L2-SP and the like."""
    after_step: Sequence[Callable[[torch.nn.Module, int, int], None]] = field(default_factory=tuple)
    """Called as (model, step, total_steps) after each applied step, while the gradients it applied are
    there; the seam for AdaLoRA's rank updates, EMA and the like."""
    activation_cache: ActivationCache | None = None
    """Activations of frozen lower layers; None: they are computed in each step."""
    clock: Clock = OFF
    """Times the sections of the loop where --profile asks for it."""

    @property
    def task(self) -> PredictingTask:
        """The run's task."""
        return self.forward.task

    @property
    def required_store(self) -> CheckpointStore:
        """The store, for those who save or read checkpoints; only a run that trains a model has one."""
        assert self.store is not None, "a trainer without a store saves nothing"
        return self.store
