"""Gradual unfreezing (Howard and Ruder, 2018, arXiv:1801.06146, section 3.3) by a generated schedule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from ftcli.config.fields import ALLOW_CHANGE, NOT_NEGATIVE, Bounds
from ftcli.config.registry import register
from ftcli.config.schema import FreezingConfig
from ftcli.errors import Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.phased import Schedule
from ftcli.plan.schedule import default_schedule, write_schedule


class By(Enum):
    block = "block"
    depth = "depth"
    pair = "pair"


@dataclass(kw_only=True, slots=True)
class GradualConfig(FreezingConfig):
    by: Annotated[By, ALLOW_CHANGE] = By.block
    """What one phase unfreezes: a block, all blocks of one depth, or a pair of tensors."""
    num_phases: Annotated[int | None, Bounds(1, 10_000), ALLOW_CHANGE] = None
    """Neighbouring phases are merged into this many, or into all there are. None: one each."""
    epoch_transitions_only: Annotated[bool, ALLOW_CHANGE] = False
    """Early stopping ends no phase; the last one then lasts to the end of the run."""
    start_phase: Annotated[int, NOT_NEGATIVE, ALLOW_CHANGE] = 0
    """Phase the run begins in; what earlier phases unfreeze trains too."""
    start_from: Annotated[str | None, ALLOW_CHANGE] = None
    """Checkpoint folder of another run (runs/.../checkpoints/best) whose weights this run begins with."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        problems = []
        if self.num_phases is not None and self.num_phases < 1:
            problems.append(Problem("freezing.num_phases", f"{self.num_phases} is not at least 1"))
        if self.start_phase < 0:
            problems.append(Problem("freezing.start_phase", f"{self.start_phase} is not 0 or more"))
        return problems


@register("freezing", GradualConfig)
def build(config: GradualConfig, anatomy: Anatomy) -> Schedule:
    """Returns the schedule `ftcli generate-schedule` writes for this model and lr.

    A shallow model may give fewer phases than `num_phases`: a note says so, it is no error.
    """
    by, wanted = config.by.value, config.num_phases
    most = len(default_schedule(anatomy, 1.0, by=by))
    phases = None if wanted is None else min(wanted, most)
    few = wanted is not None and wanted > most
    notes = (f"{wanted} phases were asked for; this model gives {most}",) if few else ()

    def text(lr: float) -> str:
        return write_schedule(anatomy, lr, by=by, phases=phases)

    return Schedule(
        text, "generated", config.epoch_transitions_only, config.start_phase, config.start_from, notes
    )
