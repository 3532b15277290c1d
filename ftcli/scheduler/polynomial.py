"""Warmup, then a power of the remaining share of the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import min_factor_problems, scheduler_problems
from ftcli.plan.curve import LrLambda, warmed_up


@dataclass(kw_only=True, slots=True)
class PolynomialConfig(SchedulerConfig):
    power: float = 2.0
    """Finite exponent above 0; 1 is a straight line."""
    min_factor: float = 0.0
    """Share in [0, 1) of the peak lr at which the curve ends."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = [*scheduler_problems(self), *min_factor_problems(self.min_factor)]
        if not (self.power > 0 and math.isfinite(self.power)):
            problems.append(
                Problem("scheduler.power", f"{self.power} is not a number above 0", "scheduler.power=2")
            )
        return problems


@register("scheduler", PolynomialConfig)
def build(config: PolynomialConfig, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase: "poly" of DeepLab (Chen et al., 2017, arXiv:1606.00915).

    A warmup as in `warmed_up`; after it `low + (1 - low) * ((n - k) / n) ** power` at step k of the
    remaining n, and `low`, the `min_factor`, beyond.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    low = config.min_factor

    def shape(k: int, n: int) -> float:
        return low + (1 - low) * ((n - k) / n) ** config.power if k < n else low

    return warmed_up(config, total_steps, steps_per_epoch, shape)
