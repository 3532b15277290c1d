"""Warmup, then the peak lr until the monitored metric stops improving, then a smaller lr, and so on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from ftcli.config.registry import register
from ftcli.config.schema import SchedulerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import min_factor_problems, scheduler_problems
from ftcli.plan.duration import warmup_steps


class ThresholdMode(Enum):
    rel = "rel"
    abs = "abs"


@dataclass(kw_only=True, slots=True)
class PlateauConfig(SchedulerConfig):
    factor: float = 0.5
    """What the lr is multiplied by, in (0, 1)."""
    patience: int = 2
    """Evaluations without improvement that are let pass; the next one lowers the lr."""
    threshold: float = 1e-4
    """Smallest improvement that counts."""
    threshold_mode: ThresholdMode = ThresholdMode.rel
    """`rel`: a share of the best score, `abs`: a difference."""
    cooldown: int = 0
    """Evaluations after a lowering that are not counted."""
    min_factor: float = 0.0
    """Share in [0, 1) of the peak lr below which it is not lowered."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the run's length is known."""
        problems = [*scheduler_problems(self), *min_factor_problems(self.min_factor)]
        if not 0 < self.factor < 1:
            problems.append(
                Problem("scheduler.factor", f"{self.factor} is not in (0, 1)", "scheduler.factor=0.5")
            )
        for name in ("patience", "cooldown", "threshold"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                problems.append(Problem(f"scheduler.{name}", f"{value} is not a number of 0 or more"))
        return problems


class Plateau:
    """The lr multiplier at a 0-based step of the phase; unlike the other curves it depends on the scores so far.

    The rule is that of torch's ReduceLROnPlateau, applied to the trainer's monitored metric.
    """

    def __init__(self, config: PlateauConfig, warmup: int) -> None:
        self.config, self.warmup = config, warmup
        self.current = 1.0
        self.best: float | None = None
        self.bad, self.cooling = 0, 0

    def __call__(self, step: int) -> float:
        rise = (step + 1) / self.warmup if step < self.warmup else 1.0
        return rise * self.current

    def observe(self, score: float, higher_is_better: bool) -> bool:
        """Takes an evaluation's score and returns whether the lr was lowered; NaN never improves.

        Args:
            score: of the monitored metric.
            higher_is_better: direction of the metric.
        """
        if self._improved(score, higher_is_better):
            self.best, self.bad = score, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.bad = 0
        if self.bad <= self.config.patience:
            return False
        before, self.current = self.current, max(self.current * self.config.factor, self.config.min_factor)
        self.bad, self.cooling = 0, self.config.cooldown
        return self.current < before

    def state(self) -> dict[str, float | int | None]:
        """Returns what a resume needs, as plain JSON."""
        return {"current": self.current, "best": self.best, "bad": self.bad, "cooling": self.cooling}

    def load_state(self, state: dict[str, float | int | None]) -> None:
        """Puts back what `state` gave."""
        self.current = float(state["current"] or 0.0)
        self.best = state["best"]
        self.bad, self.cooling = int(state["bad"] or 0), int(state["cooling"] or 0)

    def _improved(self, score: float, higher_is_better: bool) -> bool:
        threshold, sign = self.config.threshold, 1 if higher_is_better else -1
        if self.best is None:
            # False for NaN, and for a first loss that overflowed: torch begins with that as the best.
            return sign * score > -math.inf
        if self.config.threshold_mode is ThresholdMode.rel:
            return sign * score > sign * self.best * (1 + sign * threshold)
        return sign * score > sign * self.best + threshold


@register("scheduler", PlateauConfig)
def build(config: PlateauConfig, *, total_steps: int, steps_per_epoch: int) -> Plateau:
    """Returns the lr multiplier: a warmup `(step + 1) / warmup`, then 1 until a score lowers it.

    Args:
        config: the rule's fields.
        total_steps: optimizer steps of the phase, for a warmup that is a share of them.
        steps_per_epoch: optimizer steps of one pass over the training rows.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the phase.
    """
    total = config.total_steps or total_steps
    return Plateau(config, warmup_steps(config.warmup, total_steps=total, steps_per_epoch=steps_per_epoch))
