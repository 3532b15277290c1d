"""How long each phase can last, and the learning rates on the way: a plan's longest timeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftcli.plan.plan import Phase, Plan

POINTS = 120
"""Samples of a phase's lr curve."""


@dataclass(frozen=True, slots=True)
class Length:
    """The run's length: in steps where the rows are known, else in epochs of `steps_per_epoch` pieces."""

    steps_per_epoch: int
    total_steps: int
    steps_per_evaluation: int
    rows: int | None
    """None: no data is at hand, an epoch is drawn as if it had `steps_per_epoch` steps."""


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """One phase of the timeline."""

    phase: Phase
    start: int
    """Step of the run after which it begins."""
    steps: int
    """Steps drawn; 0 where the run is over before."""
    longest: int
    """The most steps it could take from there: the length of its lr curve."""
    curve: tuple[tuple[int, float, float], ...]
    """(step of the run, lowest, highest lr of its groups)."""

    @property
    def by_scores(self) -> bool:
        """It is drawn at its earliest end, for only scores end it."""
        return self.steps < self.longest


def follow(
    plan: Plan, length: Length, factor_of: Callable[[Phase, int, int], Callable[[int], float]]
) -> list[PhaseSpan]:
    """Returns the phases one after the other, each as long as its counts let it.

    A phase that only scores can end, with others behind it, is drawn at its earliest end: `patience + 1`
    evaluations, or as many as its slope is fitted to.

    Args:
        plan: the plan.
        length: of the run.
        factor_of: (phase, steps of its curve, steps an epoch) -> multiplier of its lr by step.
    """
    timeline, at = [], 0
    for phase in plan.phases[plan.start_phase :]:
        if at >= length.total_steps:
            timeline.append(PhaseSpan(phase, at, 0, 0, ()))
            continue
        longest = phase.trigger.limit(
            start=at, steps_per_epoch=length.steps_per_epoch, total_steps=length.total_steps
        )
        steps = longest if phase is plan.phases[-1] else min(longest, _earliest(phase, length))
        own = phase.curve_steps(longest)
        factor = factor_of(phase, own, length.steps_per_epoch)
        timeline.append(PhaseSpan(phase, at, steps, longest, _curve(phase, factor, at, steps)))
        at += steps
    return timeline


def longest_run(plan: Plan, length: Length) -> int:
    """Returns the most steps the run can take, whatever the scores say."""
    at = 0
    for phase in plan.phases[plan.start_phase :]:
        if at >= length.total_steps:
            break
        at += phase.trigger.limit(
            start=at, steps_per_epoch=length.steps_per_epoch, total_steps=length.total_steps
        )
    return min(at, length.total_steps)


def _earliest(phase: Phase, length: Length) -> int:
    trigger = phase.trigger
    counts = (trigger.max_steps, trigger.max_epochs, trigger.max_transition_epoch)
    if any(count is not None for count in counts):
        return length.total_steps
    waits = []
    if trigger.patience is not None:
        waits.append(trigger.patience + 1)
    if trigger.plateau_slope is not None:
        waits.append(trigger.plateau_window)
    return min(waits, default=length.total_steps) * length.steps_per_evaluation


def _curve(
    phase: Phase, factor: Callable[[int], float], start: int, steps: int
) -> tuple[tuple[int, float, float], ...]:
    rates = [group.lr for group in phase.groups] or [0.0]
    places = (
        sorted({round(i * (steps - 1) / (POINTS - 1)) for i in range(POINTS)})
        if steps > POINTS
        else range(steps)
    )
    return tuple((start + k, min(rates) * factor(k), max(rates) * factor(k)) for k in places)


def spans(timeline: Sequence[PhaseSpan], width: int) -> list[int]:
    """Returns how many of `width` columns each span gets, at least one where it has steps."""
    total = sum(s.steps for s in timeline) or 1
    return [max(round(width * s.steps / total), 1) if s.steps else 0 for s in timeline]
