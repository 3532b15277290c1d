"""Warmup, then half a cosine down to `min_factor`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems
from ftcli.plan.curve import LrLambda, warmed_up


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
def build(config: CosineConfig, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase (SGDR without restarts, arXiv:1608.03983).

    A warmup as in `warmed_up`; after it `low + (1 - low) * (1 + cos(pi * k / n)) / 2` at step k of the
    remaining n, and `low`, the `min_factor`, beyond.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    low = config.min_factor

    def shape(k: int, n: int) -> float:
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * k / n)) if k < n else low

    return warmed_up(config, total_steps, steps_per_epoch, shape)
