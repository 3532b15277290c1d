"""Warmup, then one over the square root of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems
from ftcli.plan.curve import LrLambda, warmed_up
from ftcli.plan.duration import warmup_steps

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
def build(config: InverseSqrtConfig, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase (Vaswani et al., 2017, arXiv:1706.03762, equation 3).

    A warmup as in `warmed_up`; k steps after it `sqrt(t / (k + t))` with the timescale t: a peak of 1 at the
    end of the warmup, and never 0.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    total = config.total_steps or total_steps
    warmup = warmup_steps(config.warmup, total_steps=total, steps_per_epoch=steps_per_epoch)
    timescale = config.timescale or max(warmup, MIN_TIMESCALE)
    return warmed_up(
        config, total_steps, steps_per_epoch, lambda k, n: math.sqrt(timescale / (k + timescale))
    )
