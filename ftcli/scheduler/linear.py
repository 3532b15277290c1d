"""Warmup, then a straight line down to zero."""

from __future__ import annotations

from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import scheduler_problems
from ftcli.plan.curve import LrLambda, warmed_up


@dataclass(kw_only=True, slots=True)
class LinearConfig(SchedulerConfig):
    """No further fields."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        return scheduler_problems(self)


@register("scheduler", LinearConfig)
def build(config: LinearConfig, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase (Devlin et al., 2019, arXiv:1810.04805).

    A warmup as in `warmed_up`; after it `(n - k) / n` at step k of the remaining n, and 0 beyond.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    return warmed_up(config, total_steps, steps_per_epoch, lambda k, n: (n - k) / n if k < n else 0.0)
