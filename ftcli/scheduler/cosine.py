"""Warmup, then half a cosine down to `min_factor`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ftcli.config import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems
from ftcli.plan.duration import warmup_steps
from ftcli.registry import register


@dataclass(kw_only=True, slots=True)
class CosineConfig(SchedulerConfig):
    min_factor: float = 0.0
    """Share in [0, 1) of the peak lr at which the curve ends."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = scheduler_problems(self)
        if not 0 <= self.min_factor < 1:
            problems.append(Problem("scheduler.min_factor", f"{self.min_factor} is not in [0, 1)"))
        return problems


@register("scheduler", CosineConfig)
def build(config: CosineConfig, *, total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """Returns the factor on lr at a 0-based step (SGDR without restarts, arXiv:1608.03983).

    `(step + 1) / warmup` while `step < warmup`, then `0.5 * (1 + cos(pi * (step - warmup) / (total -
    warmup)))` stretched to end at `min_factor`, where it stays from `total` on. Departure from Hugging
    Face: warmup does not waste its first step on lr 0.

    Args:
        config: warmup, `min_factor`, and `total_steps`, which wins over the run's length.
        total_steps: optimizer steps of the run.
        steps_per_epoch: optimizer steps of one pass over the training rows.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    total = config.total_steps or total_steps
    warmup = warmup_steps(config.warmup, total_steps=total, steps_per_epoch=steps_per_epoch)
    low = config.min_factor

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if step >= total:
            return low
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    return factor
