"""A phase of the plan -> the objects the trainer follows it with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftcli.config.registry import lookup, split_name
from ftcli.config.schema import Mode, RunConfig
from ftcli.errors import ConfigError, Problem

if TYPE_CHECKING:
    import torch

    from ftcli.plan.builders import OptimizerBuilder, ParameterGroup, SchedulerBuilder
    from ftcli.plan.curve import LrLambda
    from ftcli.plan.plan import Phase
    from ftcli.trainer.context import PhaseObjects
    from ftcli.trainer.early_stopping import Monitor


def build_optimizer(phase: Phase, model: torch.nn.Module, device: str) -> torch.optim.Optimizer:
    """Returns the phase's optimizer over its parameter groups; tensors that do not train are in none.

    Args:
        phase: of the plan; its groups hold the names, lr and weight decay.
        model: holds the tensors.
        device: type of the tensors' device, such as `cuda`.

    Raises:
        ConfigError: the optimizer does not run on the device.
    """
    own = dict(model.named_parameters())
    groups: list[ParameterGroup] = [
        {
            "params": [(name, own[name]) for name in group.params],
            "lr": group.lr,
            "weight_decay": group.weight_decay,
            "name": group.name,
        }
        for group in phase.groups
    ]
    build: OptimizerBuilder = lookup("optimizer", phase.optimizer.uses).build
    return build(phase.optimizer.config, groups, device_type=device)


def build_lr_lambda(phase: Phase, curve_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns step of the phase -> multiplier of the lr; a pure function, except for plateau.

    Args:
        phase: of the plan.
        curve_steps: optimizer steps of the curve.
        steps_per_epoch: optimizer steps of one pass over the training rows.

    Raises:
        ConfigError: a warmup or decay that does not fit into the curve; names the phase's line in a schedule.
    """
    build: SchedulerBuilder = lookup("scheduler", phase.scheduler.uses).build
    try:
        return build(phase.scheduler.config, total_steps=curve_steps, steps_per_epoch=steps_per_epoch)
    except ConfigError as error:
        if not phase.where:
            raise
        raise ConfigError(*(_in_phase(problem, phase) for problem in error.problems)) from error


def _in_phase(problem: Problem, phase: Phase) -> Problem:
    """Returns the problem with the line and number of its phase."""
    key = problem.key.removeprefix("scheduler.")
    hint = problem.hint.replace("scheduler.", f"phase {phase.index}: ")
    return Problem(f"{phase.where}: phase {phase.index}: {key}", problem.message, hint)


def build_entry(
    config: RunConfig, model: torch.nn.Module, device: str, steps_per_epoch: int
) -> Callable[[Phase, int], PhaseObjects]:
    """Returns a function (phase, steps of its lr curve) -> what the trainer needs to follow it.

    Entering a phase also sets `requires_grad` of the model's tensors and drops the gradients of those
    that do not train.

    Args:
        config: the run's.
        model: the model that trains.
        device: type of its device, such as `cuda`.
        steps_per_epoch: optimizer steps of one pass over the training rows.
    """
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
            lr_lambda=build_lr_lambda(phase, curve_steps, steps_per_epoch),
            monitor=build_monitor(config, phase),
            frozen_modules=frozen_modules(model, trainable),
        )

    return enter


def build_monitor(config: RunConfig, phase: Phase) -> Monitor:
    """Returns the phase's rule for best and early stopping; `mode=auto` asks the metric for its direction."""
    from ftcli.trainer.early_stopping import Monitor

    trainer = config.trainer
    name = phase.monitor or trainer.monitor or config.task.metrics[0]
    known = name != "loss" and bool(lookup("metric", split_name(name)[0]).build.higher_is_better)
    mode = Mode(phase.mode) if phase.monitor is not None or phase.mode != "auto" else trainer.mode
    higher = known if mode is Mode.auto else mode is Mode.max
    return Monitor(name, higher, phase.trigger)
