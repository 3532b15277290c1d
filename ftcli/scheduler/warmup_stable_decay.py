"""Warmup, most steps at the peak, then a short decay."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import ConfigError, Problem
from ftcli.plan.checks import min_factor_problems, scheduler_problems
from ftcli.plan.curve import LrLambda, warmed_up
from ftcli.plan.duration import parse_duration, warmup_steps


class Shape(Enum):
    linear = "linear"
    cosine = "cosine"
    sqrt = "sqrt"


@dataclass(kw_only=True, slots=True)
class WarmupStableDecayConfig(SchedulerConfig):
    decay: str = "0.2"
    """Length of the decay at the end: `100st` steps, `1ep` epochs, or a share of all steps."""
    shape: Shape = Shape.sqrt
    """Of the decay: with x from 0 to 1, linear `1 - x`, cosine `(1 + cos(pi x)) / 2`, sqrt `1 - sqrt(x)`."""
    min_factor: float = 0.0
    """Share in [0, 1) of the peak lr at which the curve ends."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = [*scheduler_problems(self), *min_factor_problems(self.min_factor)]
        try:
            if not parse_duration(self.decay, key="scheduler.decay").value and self.min_factor:
                message = f"{self.min_factor} is never reached: scheduler.decay={self.decay} ends at the peak"
                problems.append(Problem("scheduler.min_factor", message, "scheduler.decay=0.2"))
        except ConfigError as error:
            problems += error.problems
        return problems


@register("scheduler", WarmupStableDecayConfig)
def build(config: WarmupStableDecayConfig, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase (Hu et al., 2024, arXiv:2404.06395).

    A warmup as in `warmed_up`, then 1, then the decay over the last steps; sqrt is the better shape in
    Haegele et al., 2024 (arXiv:2405.18392, section 4).

    Raises:
        ConfigError: a warmup and a decay that cannot be read, or overlap.
    """
    total = config.total_steps or total_steps
    warmup = warmup_steps(config.warmup, total_steps=total, steps_per_epoch=steps_per_epoch)
    decay = warmup_steps(
        config.decay, total_steps=total, steps_per_epoch=steps_per_epoch, key="scheduler.decay"
    )
    low = config.min_factor
    if warmup + decay > total:
        message = f"a warmup of {warmup} and a decay of {decay} steps do not fit into {total} steps"
        raise ConfigError(Problem("scheduler.decay", message, "scheduler.decay=0.2 scheduler.warmup=0.1"))

    def shape(k: int, n: int) -> float:
        if k < n - decay or not decay:
            return 1.0
        return low + (1 - low) * _SHAPES[config.shape](min((k - n + decay) / decay, 1.0))

    return warmed_up(config, total_steps, steps_per_epoch, shape)


_SHAPES: dict[Shape, Callable[[float], float]] = {
    Shape.linear: lambda x: 1 - x,
    Shape.cosine: lambda x: 0.5 * (1 + math.cos(math.pi * x)),
    Shape.sqrt: lambda x: 1 - math.sqrt(x),
}
