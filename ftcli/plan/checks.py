"""Ranges of the fields that all optimizers, or all schedulers, share."""

from __future__ import annotations

import math

from ftcli.config.schema import OptimizerConfig, SchedulerConfig
from ftcli.errors import ConfigError, Problem
from ftcli.plan.duration import parse_duration
from ftcli.plan.rates import layerwise_problems


def optimizer_problems(config: OptimizerConfig) -> list[Problem]:
    """Returns what is wrong in lr and weight decay."""
    problems = []
    if not (config.lr > 0 and math.isfinite(config.lr)):
        problems.append(Problem("optimizer.lr", f"{config.lr} is not a number above 0", "optimizer.lr=5e-5"))
    if not (config.weight_decay >= 0 and math.isfinite(config.weight_decay)):
        message = f"{config.weight_decay} is not 0 or more"
        problems.append(Problem("optimizer.weight_decay", message, "optimizer.weight_decay=0.01"))
    return problems + layerwise_problems(config.layerwise)


def scheduler_problems(config: SchedulerConfig) -> list[Problem]:
    """Returns what is wrong in a scheduler's common fields, before the run's length is known."""
    problems = []
    try:
        parse_duration(config.warmup)
    except ConfigError as error:
        problems += error.problems
    if config.total_steps is not None and config.total_steps < 1:
        problems.append(Problem("scheduler.total_steps", f"{config.total_steps} is not at least 1"))
    return problems


def min_factor_problems(value: float) -> list[Problem]:
    """Returns a problem where the share of the lr that is left in the end is not in [0, 1)."""
    key = "scheduler.min_factor"
    return [] if 0 <= value < 1 else [Problem(key, f"{value} is not in [0, 1)", f"{key}=0.1")]
