"""The loop: evaluate, save, stop, next phase, step. It receives objects and sees no YAML and no registry.

What a step does is in `step.py`; when a phase ends is in `position.py`; evaluations are in `validation.py`,
checkpoints in `checkpointing.py`, events in `train_log.py`. They share one `TrainState`.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from ftcli.batching.epochs import plan_epochs
from ftcli.checkpoint.checkpoint import Checkpoint
from ftcli.config.schema import TrainerConfig
from ftcli.plan.optimizer_state import adopt_named_state, named_state
from ftcli.runtime.timers import Section
from ftcli.storage.crash_points import crash_point
from ftcli.trainer.checkpointing import Checkpointing
from ftcli.trainer.context import PhaseObjects, TrainerContext
from ftcli.trainer.early_stopping import Monitor
from ftcli.trainer.evaluation import Scores
from ftcli.trainer.oom import raise_on_oom
from ftcli.trainer.position import Position, total_steps
from ftcli.trainer.signals import Interrupted, StopFlag
from ftcli.trainer.state import StepResult, TrainState
from ftcli.trainer.state_dict import load_tensors
from ftcli.trainer.step import TrainStep
from ftcli.trainer.train_log import TrainLog
from ftcli.trainer.validation import Validation


class Trainer:
    """Follows a plan from the state it holds; a fresh state starts at step 0.

    Args:
        config: trainer.*.
        context: the objects it works with.
        stop: set by signals, looked at between steps; None: nothing interrupts.
    """

    def __init__(self, config: TrainerConfig, context: TrainerContext, stop: StopFlag | None = None) -> None:
        self.config, self.context, self.clock = config, context, context.clock
        self.stop = stop or StopFlag()
        self.state = TrainState(phase=context.plan.start_phase)
        self.epochs = plan_epochs(context.train, config)
        self.steps_per_epoch = self.epochs.steps_per_epoch
        self.total_steps = total_steps(config, self.steps_per_epoch)
        self.position = Position(
            plan=context.plan,
            state=self.state,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )
        self.log = TrainLog(context, self.state, self.position)
        self.train_step = TrainStep(config, context, self.state, self.log, self.total_steps)
        self.validation = Validation(config, context, self.state, self.position, self.log)
        self.checkpointing = Checkpointing(config, context, self.state, self.position, self.train_step)
        self._epoch_plan: tuple[int, list[np.ndarray]] = (-1, [])
        self._last_step: StepResult | None = None
        self._started = time.perf_counter()
        self._enter()

    def fit(self) -> TrainState:
        """Trains to the end of the plan, evaluating, saving, stopping and changing phases on the way.

        Raises:
            Interrupted: a signal came; the state was saved at the last applied step.
            NonFiniteError: a loss or gradient was NaN or infinite; it was not applied.
        """
        state = self.state
        self._begin()
        try:
            self._enter_activation_cache()
            while True:
                best = self.validation.due() and self.validation.run(self.objects)
                state.phase_ended = state.phase_ended or self.position.phase_end(self.monitor)
                if state.phase_ended and state.window.steps:
                    # A resume with less patience may end a phase before it made a step.
                    self.log.window(self._last_step or self.train_step.last_result())
                if best or self.checkpointing.due():
                    self.save()
                if self.position.finished:
                    return state
                self.stop.check()
                if state.phase_ended:
                    self.next_phase()
                    self._enter_activation_cache()
                with self.clock(Section.step):
                    self._last_step = self.train_step(self.next_rows())
                    self._report(self._last_step)
                self.clock.end_step()
        except Interrupted:
            if state.step and not self.checkpointing.up_to_date:
                self.save()
            raise
        finally:
            self.clock.end_steps()
            self.context.events.flush()

    def _begin(self) -> None:
        """Starts the clocks, and announces the phase where it begins with this step."""
        self._started = time.perf_counter() - self.state.wall_seconds
        if not self.state.phase_step:
            self.log.phase(restored=None)
        self.state.curve_steps = self.position.curve_steps
        self.clock.begin_steps(self.total_steps - self.state.step)

    def _report(self, result: StepResult) -> None:
        """Moves the progress bar; logs a window where one is full, and always before an evaluation that ends a phase."""
        crash_point("step")
        with self.clock(Section.logging):
            self.context.reporter.advance(self.state.step, self.total_steps)
        if self.position.ends_here or self.state.step % self.config.log_every_n_steps == 0:
            self.log.window(result)

    def next_rows(self) -> np.ndarray:
        """Returns the row numbers of the next batch, (batch,): a pure function of (seed, epoch, batch)."""
        state = self.state
        if state.batch >= self.steps_per_epoch:
            state.epoch, state.batch = state.epoch + 1, 0
        if self._epoch_plan[0] != state.epoch:
            self._epoch_plan = (state.epoch, self.epochs.batches(self.context.seed, state.epoch))
        return self._epoch_plan[1][state.batch]

    # Phases

    @property
    def objects(self) -> PhaseObjects:
        """Optimizer, lr_lambda, monitor and frozen modules of the phase."""
        return self.train_step.objects

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The phase's optimizer."""
        return self.objects.optimizer

    @property
    def monitor(self) -> Monitor:
        """The phase's rule for best and early stopping."""
        return self.objects.monitor

    def _enter(self) -> None:
        """Builds the objects of the phase the state stands in: what does not train leaves the optimizer."""
        objects = self.context.enter(self.position.phase, self.position.curve_steps)
        if self.context.activation_cache is not None:
            self.context.activation_cache.leave()
        self.validation.best_scores = None
        self.train_step.enter(objects)

    def _enter_activation_cache(self) -> None:
        """Makes the activations of the phase's frozen lower part ready."""
        if self.context.activation_cache is not None:
            with (
                self.clock(Section.activation_fill),
                raise_on_oom("what a frozen part's activations take", "type trainer.prefix_cache=off"),
            ):
                self.context.activation_cache.enter(self.state.phase)

    def enter_phase(self, index: int) -> None:
        """Stands at the beginning of a phase, at step 0: for measuring, not for training through."""
        self.state.phase = index
        self._enter()

    def next_phase(self) -> None:
        """Ends the phase and begins the next one, from the best checkpoint where the plan says so.

        A pure function of the last checkpoint and the best one: a resume at the boundary does it again.
        """
        state = self.state
        self.end_phase()
        moments, scaler = named_state(self.optimizer), None
        kind = type(self.optimizer).__name__
        state.phase += 1
        state.phase_step, state.phase_start = 0, state.step
        state.phase_scores, state.phase_ended, state.curve = [], "", {}
        state.bad_evaluations = 0
        rules = self.position.phase.transition
        restored = state.best_step if rules.restore_best and state.best_step != state.step else None
        if restored is not None:
            checkpoint = self.context.required_store.find("best")
            load_tensors(self.context.model, checkpoint.load("model"))
            moments, scaler = checkpoint.load("optimizer"), checkpoint.state["scaler"]
            kind = checkpoint.state["optimizer"]
        crash_point("transition")
        if not rules.keep_best:
            state.best_step = state.best_score = None
            state.best_eval = {}
        self._enter()
        # Moments of one kind of optimizer mean nothing to another.
        if rules.keep_moments and type(self.optimizer).__name__ == kind:
            adopt_named_state(self.optimizer, moments)
        if scaler:
            self.train_step.scaler.load_state_dict(scaler)
        self.log.phase(restored)
        state.curve_steps = self.position.curve_steps

    def end_phase(self) -> None:
        """Adds the phase to the records of the closing table."""
        state, seconds = self.state, self.wall_seconds
        scores = [score for score in state.phase_scores if not math.isnan(score)]
        state.phases.append({
            "phase": state.phase,
            "steps": state.phase_step,
            "epochs": round(state.phase_step / self.steps_per_epoch, 4),
            "trainable_parameters": self.position.phase.num_trainable_parameters,
            "monitor": self.monitor.name,
            "best": (max if self.monitor.higher_is_better else min)(scores, default=None),
            "wall_seconds": seconds - state.phase_seconds,
            "ended": state.phase_ended or "end of run",
        })  # fmt: skip
        state.phase_seconds = seconds

    # Checkpoints

    @property
    def wall_seconds(self) -> float:
        """Seconds since the run began, over all processes that trained it."""
        return time.perf_counter() - self._started

    def save(self) -> None:
        """Commits a checkpoint of the last applied step."""
        with self.clock(Section.saving):
            self.state.wall_seconds = self.wall_seconds
            self.checkpointing.save()

    def restore(self, checkpoint: Checkpoint, *, changed_plan: bool = False) -> None:
        """Puts model, phase, optimizer, scaler and counters back to a checkpoint's.

        Args:
            checkpoint: of this run.
            changed_plan: the plan is not the one the checkpoint was saved with: only the optimizer state
                of tensors that train in both is taken.

        Raises:
            CheckpointError: the checkpoint stands in a phase that the plan does not have, or its
                optimizer state is not that of the plan.
        """
        self.checkpointing.load_state(checkpoint)
        self._enter()
        self.checkpointing.load_optimizer(checkpoint, changed_plan=changed_plan)
        # A longer run or another patience may go on where the old one ended.
        self.state.phase_ended = self.position.phase_end(self.monitor)
        self.checkpointing.mark_saved()

    def begin_from(self, tensors: dict[str, torch.Tensor]) -> None:
        """Puts weights of another run's checkpoint, of the same shapes, in place, at step 0; see `Checkpointing.begin_from`."""
        self.checkpointing.begin_from(tensors)

    def score_best(self) -> tuple[Scores, bool]:
        """Returns the best checkpoint's scores and whether they come as its own did; see `Validation.score_best`."""
        return self.validation.score_best(self.train_step)
