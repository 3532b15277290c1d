"""Which phases of a plan have a frozen lower part whose activations are worth caching; plain values.

While only layers from `depth` up have ever trained, the layers below hold the weights the run began with. So in
a schedule that unfreezes top-down one pass over the rows can write the boundary of every later phase.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ftcli.plan.anatomy import Anatomy
from ftcli.plan.plan import Plan

LEAST_EPOCHS = 2
"""Passes over the rows from which a cache pays: the first one writes what the others read."""


@dataclass(frozen=True, slots=True)
class FrozenPrefix:
    """The frozen lower part of one phase."""

    depth: int = 0
    """Blocks below the boundary, all frozen with the embeddings; one more than there are blocks: the whole
    base model. 0: there is nothing to cache."""
    shared: tuple[int, ...] = ()
    """Depths of the later phases that the same pass over the rows can serve, deepest first."""
    pays: bool = True
    """False: fewer than `LEAST_EPOCHS` epochs read what one pass writes."""


def frozen_depth(anatomy: Anatomy, trainable: Collection[str]) -> int:
    """Returns how many blocks lie below everything that trains; one more where only the head trains.

    A tensor has one place, that of its first name, so a head tied to the embeddings leaves nothing frozen.

    Args:
        anatomy: of the model.
        trainable: names of the tensors that train.
    """
    own = set(trainable)
    training = [place for place, unit in enumerate(anatomy.units) if own & set(unit.tensors)]
    return max(0, min(training, default=0) - 1)


def plan_frozen_prefixes(
    plan: Plan, anatomy: Anatomy, *, steps_per_epoch: int, total_steps: int
) -> tuple[FrozenPrefix, ...]:
    """Returns the frozen prefix of every phase: a rule of the plan alone, so that a resume decides the same.

    A phase is as long here as its trigger lets it be.

    Args:
        plan: of the run.
        anatomy: of its model.
        steps_per_epoch: optimizer steps of one pass over the training rows.
        total_steps: most optimizer steps of the run.
    """
    depths = [frozen_depth(anatomy, phase.trainable) for phase in plan.phases]
    passes = _passes(depths, plan.start_phase)
    steps, start = [0] * len(depths), 0
    for phase in plan.phases[plan.start_phase :]:
        if start < total_steps:
            steps[phase.index] = phase.trigger.limit(
                start=start, steps_per_epoch=steps_per_epoch, total_steps=total_steps
            )
            start += steps[phase.index]
    found = []
    for index, depth in enumerate(depths):
        members = next((one for one in passes if index in one), [])
        later = {depths[other] for other in members if other > index} - {depth}
        epochs = sum(steps[other] for other in members) / steps_per_epoch
        pays = epochs >= LEAST_EPOCHS - 1e-9
        found.append(
            FrozenPrefix(depth, tuple(sorted(later, reverse=True)), pays) if depth else FrozenPrefix()
        )
    return tuple(found)


def _passes(depths: list[int], first: int) -> list[list[int]]:
    """Returns the phases that one pass over the rows serves: no tensor below any of them trained in between."""
    passes: list[list[int]] = []
    floor = 0
    for index, depth in list(enumerate(depths))[first:]:
        if passes and 0 < depth <= floor:
            passes[-1].append(index)
        elif depth:
            passes.append([index])
        floor = depth
    return passes
