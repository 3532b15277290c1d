"""Where a run stands in its plan: the phase, how long it can last, and what ends it. Reads the state, changes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftcli.config.schema import TrainerConfig
from ftcli.plan.plan import Phase, Plan
from ftcli.trainer.early_stopping import Monitor
from ftcli.trainer.state import TrainState


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A view of the run's state as seen from its plan."""

    plan: Plan
    state: TrainState
    steps_per_epoch: int
    total_steps: int
    """Most optimizer steps of the run."""

    @property
    def phase(self) -> Phase:
        """The phase that trains now."""
        return self.plan.phases[self.state.phase]

    @property
    def phase_limit(self) -> int:
        """The most steps this phase can last."""
        return self.phase.trigger.limit(
            start=self.state.phase_start,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )

    @property
    def curve_steps(self) -> int:
        """Steps of the phase's lr curve: the most it can last, unless `scheduler.total_steps` pins it."""
        return self.phase.curve_steps(self.phase_limit)

    @property
    def epochs(self) -> float:
        """Epochs of the run that are done, as events state them."""
        return round(self.state.epoch + self.state.batch / self.steps_per_epoch, 4)

    @property
    def ends_here(self) -> bool:
        """The run or its phase ends at this step, whatever the scores are."""
        return self.state.step >= self.total_steps or bool(self._counted_end())

    @property
    def finished(self) -> bool:
        """The run's length is reached, or the last phase is over."""
        last = self.state.phase == len(self.plan.phases) - 1
        return self.state.step >= self.total_steps or (last and bool(self.state.phase_ended))

    def phase_end(self, monitor: Monitor) -> str:
        """Returns what ends the phase at this step, or ''; a score decides only right after its evaluation."""
        state = self.state
        if not state.phase_step:
            return ""
        scored = monitor.reason(state) if state.evaluated_step == state.step else ""
        return scored or self._counted_end()

    def _counted_end(self) -> str:
        """Returns which count of steps or epochs ends the phase at this step, or ''."""
        return self.phase.trigger.reason(
            start=self.state.phase_start, step=self.state.step, steps_per_epoch=self.steps_per_epoch
        )


def total_steps(config: TrainerConfig, steps_per_epoch: int) -> int:
    """Returns the optimizer steps of a run: whichever of epochs and max_steps ends it first."""
    # 0.1 epochs of 30 steps are 3.0000000000000004 of them, and not 4.
    steps = math.ceil(config.epochs * steps_per_epoch - 1e-9)
    return min(steps, config.max_steps) if config.max_steps is not None else steps
