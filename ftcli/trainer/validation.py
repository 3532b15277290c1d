"""Evaluations on the way: when one is due, what it changes in the run's state, and the scores of the best checkpoint."""

from __future__ import annotations

import math
import time

from ftcli.config.schema import TrainerConfig
from ftcli.runtime.timers import Section
from ftcli.trainer.context import PhaseObjects, ScoredLrLambda, TrainerContext
from ftcli.trainer.evaluation import Scores
from ftcli.trainer.oom import raise_on_oom
from ftcli.trainer.position import Position
from ftcli.trainer.state import TrainState
from ftcli.trainer.state_dict import holds, load_tensors
from ftcli.trainer.step import TrainStep
from ftcli.trainer.train_log import TrainLog

OOM = ("an evaluation", "type a smaller trainer.eval_batch_size")
"""What did not fit, and what to type instead."""


class Validation:
    """Scores the validation rows during a run, and the best checkpoint after it.

    Args:
        config: trainer.*.
        context: model, rows, evaluator and store.
        state: of the run; keeps the best and the last scores.
        position: of the run in its plan.
        log: gets an `eval` event each time.
    """

    def __init__(
        self,
        config: TrainerConfig,
        context: TrainerContext,
        state: TrainState,
        position: Position,
        log: TrainLog,
    ) -> None:
        self.config, self.context, self.state = config, context, state
        self.position, self.log, self.clock = position, log, context.clock
        self.best_scores: Scores | None = None
        """Of the last evaluation, with the record of every row, where it was the best one of the phase."""

    def due(self) -> bool:
        """Returns whether the rows are to be scored before the next step: regularly, and where a phase ends."""
        state, every = self.state, self.config.eval_every_n_steps
        if self.context.validation is None or state.step == 0 or state.evaluated_step == state.step:
            return False
        regular = state.step % every == 0 if every else state.batch >= self.position.steps_per_epoch
        return regular or self.position.ends_here

    def run(self, objects: PhaseObjects) -> bool:
        """Scores the validation rows; returns whether the score is the best so far.

        Args:
            objects: of the phase: its monitor decides, and a plateau scheduler takes the score.

        Raises:
            Interrupted: a signal came; nothing of the state was changed.
            NoRoomError: a batch does not fit in memory.
        """
        assert self.context.validation is not None
        state, started = self.state, time.perf_counter()
        with self.clock(Section.evaluation), raise_on_oom(*OOM):
            scores = self.context.evaluator.score(
                self.context.model, self.context.validation, keep=self.position.ends_here
            )
        state.evaluated_step = state.step
        state.last_eval = scores.figures
        best = objects.monitor.record(state, scores.figures)
        if not objects.monitor.comparable(scores.figures):
            self._say_not_comparable(objects.monitor.name, scores.figures)
        self.best_scores = scores if best and scores.records is not None else None
        if best:
            state.best_from_prefix = self._reads_cache()
        if isinstance(objects.lr_lambda, ScoredLrLambda):
            monitor = objects.monitor
            objects.lr_lambda.observe(scores.figures[monitor.name], monitor.higher_is_better)
            state.curve = objects.lr_lambda.state()
        self._log(scores, best, time.perf_counter() - started)
        return best

    def score_best(self, step: TrainStep) -> tuple[Scores, bool]:
        """Returns the best checkpoint's validation scores, and whether they come the way its own did.

        Where every evaluation's figure was NaN there is no best, and the last checkpoint is scored.
        Its weights stay in the model; where they are there already, evaluated just now, nothing is computed again.
        What was evaluated from cached activations is so again, for only then are all bits the same.

        Args:
            step: whose model is put in the modes of the best checkpoint's phase.
        """
        context, cache = self.context, self.context.activation_cache
        best = context.required_store.find("last" if self.state.best_step is None else "best")
        assert context.validation is not None
        tensors = best.load("model")
        if self.best_scores is not None and holds(context.model, tensors):
            return self.best_scores, True
        load_tensors(context.model, tensors)
        phase = context.plan.phases[best.state["train"]["phase"]]
        if cache is not None:
            cache.leave()
            if self.state.best_from_prefix:
                step.objects.frozen_modules = context.enter(phase, self.position.total_steps).frozen_modules
                step.set_train_mode()
                cache.enter(phase.index)
        with raise_on_oom(*OOM):
            scores = context.evaluator.score(context.model, context.validation, keep=True)
        return scores, self.state.best_from_prefix == self._reads_cache()

    def _say_not_comparable(self, name: str, figures: dict[str, float]) -> None:
        """Says that an evaluation has no figure to compare, so that it cannot be the best."""
        shown = name if not math.isfinite(figures[name]) else "loss"
        why = (
            "; pearson, spearman and r2 are NaN where all numbers are equal"
            if name == shown != "loss"
            else ""
        )
        self.context.reporter.note(
            f"step {self.state.step}: {shown} is {figures[shown]}, so this evaluation is never the best and improves nothing{why}"
        )

    def _reads_cache(self) -> bool:
        """Returns whether a forward begins at cached activations now."""
        cache = self.context.activation_cache
        return cache is not None and cache.depth > 0

    def _log(self, scores: Scores, best: bool, seconds: float) -> None:
        event = {
            "event": "eval",
            "step": self.state.step,
            "epoch": self.position.epochs,
            "phase": self.state.phase,
            **scores.figures,
            "best": best,
            "seconds": seconds,
        }
        if scores.collapsed:
            event["collapsed"] = scores.collapsed
        self.log.log(event)
        self.context.reporter.evaluation(event, best)
        if scores.collapsed:
            self.context.reporter.note(f"step {self.state.step}: {scores.collapsed}")
