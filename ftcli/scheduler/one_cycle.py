"""One cycle: a cosine up from a small lr to the peak, a cosine down to a far smaller one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems
from ftcli.plan.curve import LrLambda
from ftcli.plan.duration import parse_duration


@dataclass(kw_only=True, slots=True)
class OneCycleConfig(SchedulerConfig):
    rise: float = 0.3
    """Share in (0, 1) of the steps in which the lr rises; it takes the place of a warmup."""
    div_factor: float = 25.0
    """The first lr is the peak divided by this."""
    final_div_factor: float = 1e4
    """The last lr is the first one divided by this."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = scheduler_problems(self)
        if not any(p.key == "scheduler.warmup" for p in problems) and parse_duration(self.warmup).value:
            hint = "scheduler.warmup=0 scheduler.rise=0.1"
            problems.append(Problem("scheduler.warmup", "one-cycle rises by itself", hint))
        if not 0 < self.rise < 1:
            problems.append(Problem("scheduler.rise", f"{self.rise} is not in (0, 1)", "scheduler.rise=0.3"))
        for name in ("div_factor", "final_div_factor"):
            value = getattr(self, name)
            if not (value >= 1 and math.isfinite(value)):
                problems.append(Problem(f"scheduler.{name}", f"{value} is not a number of at least 1"))
        return problems


@register("scheduler", OneCycleConfig)
def build(config: OneCycleConfig, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase (Smith and Topin, 2018, arXiv:1708.07120).

    The curve is that of torch's OneCycleLR with cosines and two phases: it peaks at step
    `rise * total - 1`, at step 0 if the rise is shorter than one step, and ends at step `total - 1`.
    Momentum is not changed.

    Args:
        config: the curve's fields, and `total_steps`, which wins over the phase's length.
        total_steps: optimizer steps of the phase.
        steps_per_epoch: not used: the rise is a share.
    """
    total = config.total_steps or total_steps
    top = max(config.rise * total - 1, 0.0)
    end = max(total - 1, top)
    first = 1 / config.div_factor
    last = first / config.final_div_factor

    def lr_lambda(step: int) -> float:
        if step < top:
            return _cosine(first, 1.0, step / top)
        if step == top:
            return 1.0
        # A pinned curve of one step has no way down: what comes after it has the last lr.
        return _cosine(1.0, last, (step - top) / (end - top)) if step < end else last

    return lr_lambda


def _cosine(start: float, stop: float, part: float) -> float:
    return stop + (start - stop) * 0.5 * (1 + math.cos(math.pi * part))
