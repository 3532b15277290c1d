"""Warmup, then a power of the remaining share of the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ftcli.config import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems, share_problems
from ftcli.plan.duration import warmup_steps
from ftcli.registry import register


@dataclass(kw_only=True, slots=True)
class PolynomialConfig(SchedulerConfig):
    power: float = 2.0
    """Exponent above 0; 1 is a straight line."""
    min_factor: float = 0.0
    """Share in [0, 1) of the peak lr at which the curve ends."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = [*scheduler_problems(self), *share_problems("scheduler.min_factor", self.min_factor)]
        if not self.power > 0:
            problems.append(Problem("scheduler.power", f"{self.power} is not above 0", "scheduler.power=2"))
        return problems


@register("scheduler", PolynomialConfig)
def build(config: PolynomialConfig, *, total_steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """Returns the factor on lr at a 0-based step.

    `(step + 1) / warmup`, then `low + (1 - low) * ((total - step) / (total - warmup)) ** power`, `low` being
    `min_factor`, where it stays from `total` on: "poly" of DeepLab (Chen et al., 2017, arXiv:1606.00915).

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
        return low + (1 - low) * ((total - step) / (total - warmup)) ** config.power

    return factor
