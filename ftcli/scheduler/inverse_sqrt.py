"""Warmup, then one over the square root of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ftcli.config import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems
from ftcli.plan.duration import warmup_steps
from ftcli.registry import register

MIN_TIMESCALE = 100
"""Without a warmup the curve needs another scale: fine-tuning takes hundreds of steps."""


@dataclass(kw_only=True, slots=True)
class InverseSqrtConfig(SchedulerConfig):
    timescale: int | None = None
    """Steps, at least 1, after which the lr has fallen to 1 / sqrt(2). None: as long as the warmup, 100 at least."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = scheduler_problems(self)
        if self.timescale is not None and self.timescale < 1:
            problems.append(Problem("scheduler.timescale", f"{self.timescale} is not at least 1"))
        return problems


@register("scheduler", InverseSqrtConfig)
def build(config: InverseSqrtConfig, *, total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """Returns the factor on lr at a 0-based step.

    `(step + 1) / warmup`, then `sqrt(t / (step - warmup + t))` with the timescale t: Vaswani et al., 2017
    (arXiv:1706.03762, equation 3), scaled to a peak of 1 at the end of the warmup. It never reaches 0.

    Args:
        config: the curve's fields, and `total_steps`, which wins over the phase's length.
        total_steps: optimizer steps of the phase.
        steps_per_epoch: optimizer steps of one pass over the training rows.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    total = config.total_steps or total_steps
    warmup = warmup_steps(config.warmup, total_steps=total, steps_per_epoch=steps_per_epoch)
    timescale = config.timescale or max(warmup, MIN_TIMESCALE)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return math.sqrt(timescale / (step - warmup + timescale))

    return factor
