"""Warmup, then half cosines one after the other, each from the peak down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ftcli.config import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems, share_problems
from ftcli.plan.duration import warmup_steps
from ftcli.registry import register


@dataclass(kw_only=True, slots=True)
class CosineRestartsConfig(SchedulerConfig):
    num_cycles: int = 3
    """Half cosines, at least 1, of equal length."""
    min_factor: float = 0.0
    """Share in [0, 1) of the peak lr at which each cycle ends."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = [*scheduler_problems(self), *share_problems("scheduler.min_factor", self.min_factor)]
        if self.num_cycles < 1:
            problems.append(Problem("scheduler.num_cycles", f"{self.num_cycles} is not at least 1"))
        return problems


@register("scheduler", CosineRestartsConfig)
def build(config: CosineRestartsConfig, *, total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """Returns the factor on lr at a 0-based step (SGDR, Loshchilov and Hutter, 2017, arXiv:1608.03983).

    `(step + 1) / warmup`, then with `p = (step - warmup) / (total - warmup) * num_cycles` and `q` its
    fraction `low + (1 - low) * (1 + cos(pi * q)) / 2`; `low`, `min_factor`, from `total` on.

    Args:
        config: the curve's fields, and `total_steps`, which wins over the phase's length.
        total_steps: optimizer steps of the phase.
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
        # Whole numbers first: a cycle begins exactly at its step.
        part = (step - warmup) * config.num_cycles % (total - warmup) / (total - warmup)
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * part))

    return factor
