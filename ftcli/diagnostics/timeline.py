"""A plan's timeline: how long each phase can last, and its learning rates over the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ftcli.plan.plan import Phase, Plan

MAX_SAMPLES = 120
"""Most samples of a phase's lr curve."""


@dataclass(frozen=True, slots=True)
class RunLength:
    """The run's length: in steps where the rows are known, else in epochs of `steps_per_epoch` assumed steps."""

    steps_per_epoch: int
    total_steps: int
    steps_per_evaluation: int
    rows: int | None
    """Training rows. None: there is no data on this machine, and an epoch is assumed to have `steps_per_epoch` steps."""


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A phase's part of the timeline, in optimizer steps."""

    phase: Phase
    start: int
    """Step of the run after which the phase begins."""
    steps: int
    """Steps shown; 0 where the run ends before the phase begins."""
    longest: int
    """The most steps the phase can take from there: the length of its lr curve."""
    curve: tuple[tuple[int, float, float], ...]
    """(step of the run, lowest lr of the phase's parameter groups, highest lr) for each sample."""

    @property
    def by_scores(self) -> bool:
        """Whether only scores end the phase, so that it is shown with its earliest end."""
        return self.steps < self.longest


def build_timeline(
    plan: Plan, length: RunLength, lr_lambda_of: Callable[[Phase, int, int], Callable[[int], float]]
) -> list[PhaseSpan]:
    """Returns the phases one after the other, each as long as its step and epoch limits allow.

    A phase that only scores can end, with others after it, is shown with its earliest end: after `patience + 1`
    evaluations, or after as many as the plateau's slope is fitted to.

    Args:
        plan: the plan.
        length: of the run.
        lr_lambda_of: (phase, steps of its curve, steps per epoch) -> multiplier of its lr at a 0-based step.
    """
    timeline, at = [], 0
    for phase in plan.phases[plan.start_phase :]:
        if at >= length.total_steps:
            timeline.append(PhaseSpan(phase, at, 0, 0, ()))
            continue
        longest = phase.trigger.limit(
            start=at, steps_per_epoch=length.steps_per_epoch, total_steps=length.total_steps
        )
        steps = longest if phase is plan.phases[-1] else min(longest, _earliest_end(phase, length))
        own = phase.curve_steps(longest)
        lr_lambda = lr_lambda_of(phase, own, length.steps_per_epoch)
        timeline.append(PhaseSpan(phase, at, steps, longest, _curve(phase, lr_lambda, at, steps)))
        at += steps
    return timeline


def longest_run(plan: Plan, length: RunLength) -> int:
    """Returns the most steps the run can take, whatever the scores are."""
    at = 0
    for phase in plan.phases[plan.start_phase :]:
        if at >= length.total_steps:
            break
        at += phase.trigger.limit(
            start=at, steps_per_epoch=length.steps_per_epoch, total_steps=length.total_steps
        )
    return min(at, length.total_steps)


def _earliest_end(phase: Phase, length: RunLength) -> int:
    """Returns after how many steps scores can end a phase at the earliest; a phase with counts ends by those."""
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
    phase: Phase, lr_lambda: Callable[[int], float], start: int, steps: int
) -> tuple[tuple[int, float, float], ...]:
    """Samples the lr of a phase evenly, its first and last step included; see `PhaseSpan.curve`."""
    rates = [group.lr for group in phase.groups] or [0.0]
    samples = (
        sorted({round(i * (steps - 1) / (MAX_SAMPLES - 1)) for i in range(MAX_SAMPLES)})
        if steps > MAX_SAMPLES
        else range(steps)
    )
    return tuple((start + k, min(rates) * lr_lambda(k), max(rates) * lr_lambda(k)) for k in samples)
