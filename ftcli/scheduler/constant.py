"""Warmup, then a constant learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ftcli.config import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems
from ftcli.plan.duration import warmup_steps
from ftcli.registry import register


@dataclass(kw_only=True, slots=True)
class ConstantConfig(SchedulerConfig):
    """No further fields."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        return scheduler_problems(self)


@register("scheduler", ConstantConfig)
def build(config: ConstantConfig, *, total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """Returns the factor on lr at a 0-based step: `(step + 1) / warmup`, then 1.

    Departure from Hugging Face: their first step has lr 0 and teaches nothing; this one starts at
    1 / warmup, as in the linear and cosine schedulers.

    Args:
        config: warmup, and `total_steps`, which wins over the run's length.
        total_steps: optimizer steps of the run.
        steps_per_epoch: optimizer steps of one pass over the training rows.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    total = config.total_steps or total_steps
    warmup = warmup_steps(config.warmup, total_steps=total, steps_per_epoch=steps_per_epoch)

    def factor(step: int) -> float:
        return (step + 1) / warmup if step < warmup else 1.0

    return factor
