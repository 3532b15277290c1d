"""What a trainer is made of: objects only, no YAML and no registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from ftcli.batching.token_table import TokenTable
from ftcli.checkpoint.store import CheckpointStore
from ftcli.plan.plan import Phase, Plan
from ftcli.runtime.timers import OFF, Clock, Section
from ftcli.trainer.activation_cache.cache import ActivationCache
from ftcli.trainer.early_stopping import Monitor
from ftcli.trainer.evaluation import Evaluator
from ftcli.trainer.micro_batching import MicroBatching
from ftcli.trainer.state import TrainState


class Reporter(Protocol):
    """What the loop tells the screen and the log."""

    def note(self, line: str) -> None: ...
    def train(self, event: dict[str, Any], total_steps: int) -> None: ...
    def advance(self, state: TrainState, total_steps: int) -> None: ...
    def evaluation(self, event: dict[str, Any], best: bool) -> None: ...


class EventLog(Protocol):
    """metrics.jsonl and whatever else the logger role writes."""

    def log(self, event: dict[str, Any]) -> None: ...
    def flush(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class PhaseObjects:
    """The objects of one phase of the plan."""

    optimizer: torch.optim.Optimizer
    factor: Callable[[int], float]
    """Step of the phase (0-based) -> multiplier of each group's lr."""
    monitor: Monitor
    frozen_modules: list[str]
    """Modules kept in eval mode because nothing in them trains."""


@dataclass(slots=True, kw_only=True)
class TrainerContext:
    """The objects a trainer works with; `build.build_trainer` makes them in one stated order."""

    model: torch.nn.Module
    task: Any
    plan: Plan
    enter: Callable[[Phase, int], PhaseObjects]
    """(phase, length of its lr curve in steps) -> its objects; sets requires_grad to what it trains."""
    train: TokenTable
    validation: TokenTable | None
    evaluator: Evaluator
    store: CheckpointStore
    events: EventLog
    reporter: Reporter
    saved_names: frozenset[str]
    """Tensors of the model that a checkpoint holds: whatever differs from the source's bytes."""
    pad_id: int
    padding_side: str
    device: str
    precision: str
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
    prefix: ActivationCache | None = None
    """Activations of frozen lower layers; None: they are computed in each step."""
    clock: Clock = OFF
    """Times the parts of the loop where --profile asks for it."""

    def reading(self, rows: np.ndarray, batch: dict[str, torch.Tensor]) -> AbstractContextManager[None]:
        """Returns a context in which a forward of training rows begins where the frozen prefix ends."""
        if self.prefix is None:
            return nullcontext()
        with self.clock(Section.kept):
            return self.prefix.reading(self.train, rows, batch)
