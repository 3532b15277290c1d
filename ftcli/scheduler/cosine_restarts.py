"""Warmup, then half cosines one after the other, each from the peak down."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import min_factor_problems, scheduler_problems
from ftcli.plan.curve import LrLambda, warmed_up


@dataclass(kw_only=True, slots=True)
class CosineRestartsConfig(SchedulerConfig):
    num_cycles: int = 3
    """Half cosines, at least 1, of equal length."""
    min_factor: float = 0.0
    """Share in [0, 1) of the peak lr at which each cycle ends."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = [*scheduler_problems(self), *min_factor_problems(self.min_factor)]
        if self.num_cycles < 1:
            problems.append(Problem("scheduler.num_cycles", f"{self.num_cycles} is not at least 1"))
        return problems


@register("scheduler", CosineRestartsConfig)
def build(config: CosineRestartsConfig, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase (SGDR, Loshchilov and Hutter, 2017, arXiv:1608.03983).

    A warmup as in `warmed_up`; after it, at step k of the remaining n and with q the fraction of
    `num_cycles * k / n`, `low + (1 - low) * (1 + cos(pi * q)) / 2`, and `low`, the `min_factor`, beyond.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    low = config.min_factor

    def shape(k: int, n: int) -> float:
        # Whole numbers first: a cycle begins exactly at its step.
        part = k * config.num_cycles % n / n if k < n else 1.0
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * part))

    return warmed_up(config, total_steps, steps_per_epoch, shape)
