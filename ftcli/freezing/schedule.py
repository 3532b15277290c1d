"""A schedule from a file: what trains in each phase, at which rates, and what ends it.

Files written for finetuning-scheduler run here; ftcli/plan/written.py reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ftcli.config.fields import ALLOW_CHANGE, NOT_NEGATIVE
from ftcli.config.registry import register
from ftcli.config.regular_file import absolute, read_text
from ftcli.config.schema import FreezingConfig
from ftcli.config.yaml_text import MAX_BYTES
from ftcli.errors import ConfigError, Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.phased import Schedule

KEY = "freezing.file"


@dataclass(kw_only=True, slots=True)
class ScheduleConfig(FreezingConfig):
    file: Annotated[str | None, ALLOW_CHANGE] = None
    """YAML file of phases; `ftcli generate-schedule -o FILE` writes one to edit."""
    epoch_transitions_only: Annotated[bool, ALLOW_CHANGE] = False
    """Early stopping and slopes end no phase; each but the last then needs a count."""
    start_phase: Annotated[int, NOT_NEGATIVE, ALLOW_CHANGE] = 0
    """Phase the run begins in; what earlier phases unfreeze trains too."""
    start_from: Annotated[str | None, ALLOW_CHANGE] = None
    """Checkpoint folder of another run (runs/.../checkpoints/best) whose weights this run begins with."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        problems = []
        if self.file is None:
            hint = "ftcli generate-schedule -o FILE writes one; freezing=gradual needs none"
            problems.append(Problem(KEY, "freezing=schedule needs a file", hint))
        if self.start_phase < 0:
            problems.append(Problem("freezing.start_phase", f"{self.start_phase} is not 0 or more"))
        return problems


@register("freezing", ScheduleConfig)
def build(config: ScheduleConfig, anatomy: Anatomy) -> Schedule:
    """Returns the schedule of the file, as text.

    Raises:
        ConfigError: the file cannot be read, is no regular file, too large or not UTF-8.
    """
    if config.file is None:
        raise ConfigError(*config.problems())
    path = Path(absolute(config.file))
    text = read_text(path, MAX_BYTES, key=KEY)
    return Schedule(
        lambda lr: text,
        path.name,
        config.epoch_transitions_only,
        config.start_phase,
        config.start_from,
    )
