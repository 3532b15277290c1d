"""A phase of the plan -> the objects the trainer follows it with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ftcli.config.choice import configured
from ftcli.config.registry import lookup
from ftcli.config.schema import Mode, RunConfig
from ftcli.errors import ConfigError, Problem
from ftcli.metric import split_name

if TYPE_CHECKING:
    import torch

    from ftcli.plan.plan import Phase
    from ftcli.trainer.context import PhaseObjects


def build_optimizer(phase: Phase, model: torch.nn.Module, device: str) -> torch.optim.Optimizer:
    """Returns the phase's optimizer; what does not train in it is absent."""
    own = dict(model.named_parameters())
    groups = [
        {
            "params": [(name, own[name]) for name in group.params],
            "lr": group.lr,
            "weight_decay": group.weight_decay,
            "name": group.name,
        }
        for group in phase.groups
    ]
    uses, config = configured("optimizer", phase.optimizer, phase.optimizer_values, f"phase {phase.index}")
    return lookup("optimizer", uses).build(config, groups, device_type=device)


def build_lr_lambda(phase: Phase, curve_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """Returns step of the phase -> multiplier of the lr; a pure function, but for plateau."""
    uses, config = configured("scheduler", phase.scheduler, phase.scheduler_values, f"phase {phase.index}")
    try:
        return lookup("scheduler", uses).build(
            config, total_steps=curve_steps, steps_per_epoch=steps_per_epoch
        )
    except ConfigError as error:
        if not phase.where:
            raise
        raise ConfigError(*(_in_phase(problem, phase) for problem in error.problems)) from error


def _in_phase(problem: Problem, phase: Phase) -> Problem:
    """Says which phase a problem of its curve is of."""
    key = problem.key.removeprefix("scheduler.")
    hint = problem.hint.replace("scheduler.", f"phase {phase.index}: ")
    return Problem(f"{phase.where}: phase {phase.index}: {key}", problem.message, hint)


def build_entry(
    config: RunConfig, model: torch.nn.Module, device: str, steps_per_epoch: int
) -> Callable[[Phase, int], PhaseObjects]:
    """Returns what turns a phase of the plan into the objects the trainer follows it with."""
    from ftcli.plan.anatomy import frozen_modules
    from ftcli.trainer.context import PhaseObjects

    def enter(phase: Phase, curve_steps: int) -> PhaseObjects:
        trainable = frozenset(phase.trainable)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trainable)
            if name not in trainable:
                parameter.grad = None
        return PhaseObjects(
            optimizer=build_optimizer(phase, model, device),
            factor=build_lr_lambda(phase, curve_steps, steps_per_epoch),
            monitor=build_monitor(config, phase),
            frozen_modules=frozen_modules(model, trainable),
        )

    return enter


def build_monitor(config: RunConfig, phase: Phase) -> Any:
    """Returns the phase's rule for best and early stopping; the metric knows its own direction."""
    from ftcli.trainer.early_stopping import Monitor

    trainer = config.trainer
    name = phase.monitor or trainer.monitor or config.task.metrics[0]
    known = name != "loss" and lookup("metric", split_name(name)[0]).build.higher_is_better  # type: ignore[attr-defined]
    mode = Mode(phase.mode) if phase.monitor is not None or phase.mode != "auto" else trainer.mode
    higher = known if mode is Mode.auto else mode is Mode.max
    return Monitor(name, bool(higher), phase.trigger)
