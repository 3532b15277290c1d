"""Warmup, then a constant learning rate."""

from __future__ import annotations

from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems
from ftcli.plan.curve import LrLambda, warmed_up


@dataclass(kw_only=True, slots=True)
class ConstantConfig(SchedulerConfig):
    """No further fields."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        return scheduler_problems(self)


@register("scheduler", ConstantConfig)
def build(config: ConstantConfig, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase: a warmup as in `warmed_up`, then 1.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    return warmed_up(config, total_steps, steps_per_epoch, lambda k, n: 1.0)
