"""The loop: receives objects, sees no YAML and no registry.

One optimizer step is `Trainer.train_step`; everything between steps (evaluation, saving, stopping,
signals) stands in `Trainer.fit` in the order it happens.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from ftcli.batching.epochs import plan_epochs
from ftcli.config.schema import TrainerConfig
from ftcli.errors import CheckpointError, Problem
from ftcli.plan.optimizer_state import adopt_named_state, load_named_state, named_state
from ftcli.plan.plan import Phase
from ftcli.runtime.device import autocast, grad_scaler, memory_used, seed_step
from ftcli.runtime.timers import Section
from ftcli.storage.crash_points import crash_point
from ftcli.trainer.context import TrainerContext
from ftcli.trainer.evaluation import Scores
from ftcli.trainer.micro_batching import OUT_OF_MEMORY, Split
from ftcli.trainer.nonfinite import require_finite, require_some_applied
from ftcli.trainer.oom import (
    find_micro_batch_size,
    fits,
    raise_on_oom,
    release,
    running_statistics,
    single_row_out_of_memory,
    step_already_applied,
)
from ftcli.trainer.signals import Interrupted, StopFlag
from ftcli.trainer.sparse_embedding_grad import SparseEmbeddingGradients
from ftcli.trainer.state import TrainState, Window
from ftcli.trainer.state_dict import holds, load_tensors, tensors_of


class Trainer:
    """Follows a plan from the state it holds; a fresh state starts at step 0."""

    def __init__(self, config: TrainerConfig, parts: TrainerContext, stop: StopFlag | None = None) -> None:
        self.config, self.context, self.clock = config, parts, parts.clock
        self.state = TrainState()
        self.stop = stop or StopFlag()
        self.scaler = grad_scaler(parts.device, parts.precision)
        self.statistics = running_statistics(parts.model)
        self.epochs = plan_epochs(parts.train, config)
        self.steps_per_epoch = self.epochs.steps_per_epoch
        self.total_steps = total_steps(config, self.steps_per_epoch)
        self._epoch_plan: tuple[int, list[np.ndarray]] = (-1, [])
        self._saved: tuple[int, int] | None = None
        self._last_figures: tuple[float, list[float]] = (math.nan, [])
        self._started = time.perf_counter()
        self.state.phase = parts.plan.start_phase
        self._enter()

    def fit(self) -> TrainState:
        """Trains to the end of the plan, evaluating, saving, stopping and changing phases on the way.

        Raises:
            Interrupted: a signal came; the state was saved at the last applied step.
            NonFiniteError: a loss or gradient was NaN or infinite; it was not applied.
        """
        state = self.state
        self._started = time.perf_counter() - state.wall_seconds
        self._announce()
        state.curve_steps = self.curve_length
        self.clock.begin_steps(self.total_steps - state.step)
        try:
            with self.clock(Section.building):
                find_micro_batch_size(self)
            self._enter_prefix()
            while True:
                best = self._evaluate() if self._evaluation_due() else False
                state.phase_ended = state.phase_ended or self._phase_end()
                if state.phase_ended and state.window.steps:
                    self._log_window()
                if best or self._save_due():
                    with self.clock(Section.saving):
                        self.save()
                if self.finished:
                    return state
                self.stop.check()
                if state.phase_ended:
                    self.next_phase()
                    self._enter_prefix()
                with self.clock(Section.step):
                    self.train_step(self.next_rows())
                self.clock.end_step()
        except Interrupted:
            if state.step and self._saved != (state.step, state.evaluated_step):
                with self.clock(Section.saving):
                    self.save()
            raise
        finally:
            self.clock.end_steps()
            self.context.events.flush()

    @property
    def phase(self) -> Phase:
        return self.context.plan.phases[self.state.phase]

    @property
    def phase_limit(self) -> int:
        """The most steps this phase can last."""
        return self.phase.trigger.limit(
            start=self.state.phase_start,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )

    @property
    def curve_length(self) -> int:
        """Steps of the phase's lr curve: its longest course, unless `scheduler.total_steps` pins it."""
        return self.phase.scheduler_values.get("total_steps") or self.phase_limit

    def _enter(self) -> None:
        """Builds the objects of the phase the state stands in: what does not train leaves the optimizer."""
        kit = self.context.enter(self.phase, self.curve_length)
        if self.context.prefix is not None:
            self.context.prefix.leave()
        self.optimizer, self.factor, self.monitor = kit.optimizer, kit.factor, kit.monitor
        self.frozen_modules = kit.frozen_modules
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.gradients = SparseEmbeddingGradients(
            self.context.model, self.trained, rows=self.context.fast_paths and not self.scaler.is_enabled()
        )
        self.base_lrs = [float(group["lr"]) for group in self.optimizer.param_groups]
        self._best_scores: Scores | None = None
        self.set_train_mode()

    def _enter_prefix(self) -> None:
        """Makes the activations of the phase's frozen lower part ready."""
        if self.context.prefix is not None:
            with (
                self.clock(Section.prefix),
                raise_on_oom("what a frozen part's activations take", "type trainer.prefix_cache=off"),
            ):
                self.context.prefix.enter(self.state.phase)

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
        rules = self.phase.transition
        restored = state.best_step if rules.restore_best and state.best_step != state.step else None
        if restored is not None:
            checkpoint = self.context.store.find("best")
            load_tensors(self.context.model, checkpoint.load("model"))
            moments, scaler = checkpoint.load("optimizer"), checkpoint.state["scaler"]
            kind = checkpoint.state["optimizer"]
        crash_point("transition")
        if not rules.keep_best:
            state.best_step = state.best_score = None
            state.best_eval = {}
        self._enter()
        if rules.keep_moments and type(self.optimizer).__name__ == kind:
            adopt_named_state(self.optimizer, moments)
        if scaler:
            self.scaler.load_state_dict(scaler)
        self._announce(restored)
        state.curve_steps = self.curve_length

    def end_phase(self) -> None:
        """Keeps a record of the phase for the closing table."""
        state, seconds = self.state, self.wall_seconds
        scores = [score for score in state.phase_scores if not math.isnan(score)]
        state.phases.append({
            "phase": state.phase,
            "steps": state.phase_step,
            "epochs": round(state.phase_step / self.steps_per_epoch, 4),
            "trainable_parameters": self.phase.num_trainable_parameters,
            "monitor": self.monitor.name,
            "best": (max if self.monitor.higher_is_better else min)(scores, default=None),
            "wall_seconds": seconds - state.phase_seconds,
            "ended": state.phase_ended or "end of run",
        })  # fmt: skip
        state.phase_seconds = seconds

    def _announce(self, restored: int | None = None) -> None:
        """Logs the phase that begins, and says it where the plan has several."""
        state, plan = self.state, self.context.plan
        if state.phase_step:
            return
        self._log({"event": "phase", "step": state.step, "phase": state.phase,
                   "trainable": self.phase.num_trainable_parameters, "restored_step": restored})  # fmt: skip
        if len(plan.phases) > 1:
            share = self.phase.num_trainable_parameters / max(plan.num_parameters, 1)
            before = f"; {state.phases[-1]['ended']} ended phase {state.phase - 1}" if state.phases else ""
            best = f"; restored the best, step {restored}" if restored is not None else ""
            self.context.reporter.note(
                f"phase {state.phase}: {self.phase.num_trainable_parameters:,} parameters train "
                f"({share:.1%}), at most {self.phase_limit} steps{before}{best}"
            )

    def _phase_end(self) -> str:
        """Returns what ends the phase at this step, or ``."""
        state = self.state
        if not state.phase_step:
            return ""
        counted = self._counted_end()
        scored = self.monitor.reason(state) if state.evaluated_step == state.step else ""
        return scored or counted

    def _counted_end(self) -> str:
        return self.phase.trigger.reason(
            start=self.state.phase_start, step=self.state.step, steps_per_epoch=self.steps_per_epoch
        )

    @property
    def _ends_here(self) -> bool:
        """The run or its phase ends at this step, whatever the scores are."""
        return self.state.step >= self.total_steps or bool(self._counted_end())

    @property
    def finished(self) -> bool:
        """The run's length is reached, or the last phase is over."""
        last = self.state.phase == len(self.context.plan.phases) - 1
        return self.state.step >= self.total_steps or (last and bool(self.state.phase_ended))

    @property
    def wall_seconds(self) -> float:
        """Seconds since the run began, over all its sessions."""
        return time.perf_counter() - self._started

    def set_train_mode(self) -> None:
        """Train mode everywhere but in blocks in which nothing trains: no dropout there."""
        self.context.model.train()
        for name in self.frozen_modules:
            self.context.model.get_submodule(name).eval()

    def next_rows(self) -> np.ndarray:
        """Returns the row numbers of the next batch: a pure function of (seed, epoch, batch)."""
        state = self.state
        if state.batch >= self.steps_per_epoch:
            state.epoch, state.batch = state.epoch + 1, 0
        if self._epoch_plan[0] != state.epoch:
            self._epoch_plan = (state.epoch, self.epochs.batches(self.context.seed, state.epoch))
        return self._epoch_plan[1][state.batch]

    def train_step(self, rows: np.ndarray) -> None:
        """One optimizer step on `rows`, redone in smaller pieces where memory runs out before it is applied.

        Raises:
            NonFiniteError: before anything is applied.
            NoRoomError: a single row does not fit; nothing is applied.
        """
        step, pieces = self.state.step, self.context.micro_batching
        for split in pieces.at(step):
            self._log_split(split, len(rows), recorded=True)
        before = [statistic.clone() for statistic in self.statistics]
        while not fits(lambda: self._step(rows)):
            self.optimizer.zero_grad(set_to_none=True)
            for statistic, value in zip(self.statistics, before, strict=True):
                statistic.copy_(value)
            release(self.context.device)
            if self.state.step != step:
                raise step_already_applied(step)
            finer = pieces.finer(len(rows), step)
            if finer is None:
                raise single_row_out_of_memory(self, int(self.context.train.lengths[rows].max()))
            self._log_split(finer, len(rows))

    def _log_split(self, split: Split, num_rows: int, *, recorded: bool = False) -> None:
        self._log({"event": "split", **asdict(split), "phase": self.state.phase})
        if split.why == OUT_OF_MEMORY:
            self.context.reporter.note(self.context.micro_batching.format_message(split, num_rows, recorded=recorded))

    def _step(self, rows: np.ndarray) -> None:
        """One optimizer step on `rows`; gradients are exact sums over targets, however it is split."""
        started = time.perf_counter()
        state, parts, config = self.state, self.context, self.config
        lrs = [lr * self.factor(state.phase_step) for lr in self.base_lrs]
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        pieces = parts.micro_batching.cut(rows, state.step)
        targets = parts.task.num_targets(parts.train, rows)
        loss_sum, tokens = 0.0, 0
        correct: int | None = 0
        for number, piece in enumerate(pieces):
            seed_step(parts.seed, state.step, number)
            with self.clock(Section.collate):
                batch = parts.task.collate(
                    parts.train, piece, pad_id=parts.pad_id, padding_side=parts.padding_side
                )
                batch = {name: tensor.to(parts.device) for name, tensor in batch.items()}
            with (
                self.clock(Section.forward),
                autocast(parts.device, parts.precision),
                parts.reading(piece, batch),
            ):
                output = parts.task.compute_loss(parts.model, batch, train=True)
                loss = output.loss_sum / targets
                if number == 0:
                    for regulariser in parts.regularisers:
                        loss = loss + regulariser(parts.model)
            self._require_finite("the loss", float(output.loss_sum.detach()))
            with self.clock(Section.backward):
                self.scaler.scale(loss).backward()
            loss_sum += float(output.loss_sum.detach())
            right = parts.task.num_correct(output, batch)
            correct = None if right is None or correct is None else correct + right
            tokens += int(parts.train.lengths[piece].sum())
        with (
            self.clock(Section.optimizer),
            raise_on_oom(
                "the optimizer's step", "type peft=lora to train fewer parameters, or optimizer=sgd"
            ),
        ):
            norm, applied = self._apply()
        state.step += 1
        state.phase_step += 1
        state.batch += 1
        state.rows_seen += len(rows)
        state.tokens_seen += tokens
        if applied:
            for work in parts.after_step:
                work(parts.model, state.step, self.total_steps)
        self.gradients.clear()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - started
        state.train_seconds += seconds
        window = state.window
        window.steps += 1
        window.loss_sum += loss_sum
        window.targets += targets
        window.correct = None if correct is None or window.correct is None else window.correct + correct
        window.rows += len(rows)
        window.tokens += tokens
        window.seconds += seconds
        crash_point("step")
        with self.clock(Section.logging):
            parts.reporter.advance(state, self.total_steps)
        self._last_figures = norm, lrs
        if self._ends_here or state.step % config.log_every_n_steps == 0:
            self._log_window()

    def _apply(self) -> tuple[float, bool]:
        """Clips and steps; returns the gradients' global L2 norm before clipping, and whether they were applied."""
        self.scaler.unscale_(self.optimizer)
        limit = self.config.max_grad_norm if self.config.max_grad_norm is not None else math.inf
        trained = self.gradients.take()
        total = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        norm = float(total)
        # Within the limit clip_grad_norm_ would multiply every gradient by 1.
        if norm + 1e-6 > limit:
            torch.nn.utils.clip_grads_with_norm_(trained, limit, total)
        self.gradients.put_back()
        applied = math.isfinite(norm)
        if applied:
            self.state.skipped_in_row = 0
        elif self.scaler.is_enabled():
            self.state.skipped_steps += 1
            self.state.skipped_in_row += 1
            require_some_applied(self.state.skipped_in_row, self.state.step + 1)
        else:
            self._require_finite("the gradient norm", norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm, applied

    def _require_finite(self, what: str, value: float) -> None:
        require_finite(
            what, value, step=self.state.step + 1, precision=self.context.precision, lr=self.base_lrs[0]
        )

    def _log_window(self) -> None:
        state, window = self.state, self.state.window
        norm, lrs = self._last_figures
        names = [group.get("name", str(i)) for i, group in enumerate(self.optimizer.param_groups)]
        seconds = max(window.seconds, 1e-9)
        event = {
            "event": "train",
            "step": state.step,
            "epoch": round(state.epoch + state.batch / self.steps_per_epoch, 4),
            "phase": state.phase,
            "loss": window.loss_sum / window.targets,
            **({} if window.correct is None else {"accuracy": window.correct / window.targets}),
            "lr": dict(zip(names, lrs, strict=True)),
            "grad_norm": norm,
            "rows_per_s": window.rows / seconds,
            "tokens_per_s": window.tokens / seconds,
            "seconds_per_step": window.seconds / window.steps,
            "memory_bytes": memory_used(self.context.device),
        }
        if self.scaler.is_enabled():
            event |= {"loss_scale": self.scaler.get_scale(), "skipped_steps": state.skipped_steps}
        state.window = Window()
        self._log(event)
        with self.clock(Section.logging):
            self.context.reporter.train(event, self.total_steps)

    def _log(self, event: dict[str, Any]) -> None:
        with self.clock(Section.logging):
            self.context.events.log(event)
        self.state.events += 1

    def _evaluation_due(self) -> bool:
        state, every = self.state, self.config.eval_every_n_steps
        if self.context.validation is None or state.step == 0 or state.evaluated_step == state.step:
            return False
        regular = state.step % every == 0 if every else state.batch >= self.steps_per_epoch
        return regular or self._ends_here

    def _evaluate(self) -> bool:
        assert self.context.validation is not None
        started = time.perf_counter()
        with (
            self.clock(Section.evaluation),
            raise_on_oom("an evaluation", "type a smaller trainer.eval_batch_size"),
        ):
            scores: Scores = self.context.evaluator.score(
                self.context.model, self.context.validation, keep=self._ends_here
            )
        state = self.state
        state.evaluated_step = state.step
        state.last_eval = scores.figures
        best = self.monitor.record(state, scores.figures)
        self._best_scores = scores if best and scores.records is not None else None
        if best:
            state.best_from_prefix = self.context.prefix is not None and self.context.prefix.depth > 0
        if hasattr(self.factor, "observe"):
            plateau: Any = self.factor
            plateau.observe(scores.figures[self.monitor.name], self.monitor.higher_is_better)
            state.curve = plateau.state()
        event = {
            "event": "eval",
            "step": state.step,
            "epoch": round(state.epoch + state.batch / self.steps_per_epoch, 4),
            "phase": state.phase,
            **scores.figures,
            "best": best,
            "seconds": time.perf_counter() - started,
        }
        self._log(event)
        self.context.reporter.evaluation(event, best)
        return best

    def _save_due(self) -> bool:
        state, every = self.state, self.config.save_every_n_steps
        if state.step == 0 or self._saved == (state.step, state.evaluated_step):
            return False
        return state.evaluated_step == state.step or self.finished or bool(every and state.step % every == 0)

    def save(self) -> None:
        """Commits a checkpoint of the last applied step."""
        state = self.state
        state.wall_seconds = self.wall_seconds
        self.context.events.flush()
        own = tensors_of(self.context.model)
        model = {name: own[name].detach() for name in sorted(self.context.saved_names)}
        values = {"train": state.to_json(), "best_step": state.best_step, "scaler": self.scaler.state_dict(),
                  "optimizer": type(self.optimizer).__name__}  # fmt: skip
        self.context.store.save(
            state.step,
            tensors={"model": model, "optimizer": named_state(self.optimizer)},
            state=values,
            best=state.best_step == state.step and state.evaluated_step == state.step,
        )
        self._saved = (state.step, state.evaluated_step)

    def restore(self, checkpoint: Any, *, changed_plan: bool = False) -> None:
        """Puts model, phase, optimizer, scaler and counters back to a checkpoint's.

        Args:
            changed_plan: the plan is not the one the checkpoint was saved with: only the optimizer state
                of tensors that train in both is taken.

        Raises:
            CheckpointError: the checkpoint stands in a phase that the plan does not have, or its
                optimizer state is not that of the plan.
        """
        tensors = checkpoint.load("model")
        load_tensors(self.context.model, tensors)
        self.context.saved_names |= tensors.keys()
        self.state = TrainState.from_json(checkpoint.state["train"])
        if self.state.phase >= len(self.context.plan.phases):
            message = (
                f"stands in phase {self.state.phase}; the schedule now has {len(self.context.plan.phases)}"
            )
            raise CheckpointError(Problem(str(checkpoint.path), message, "keep the phases that were trained"))
        self._enter()
        moments = checkpoint.load("optimizer")
        if not changed_plan:
            load_named_state(self.optimizer, moments)
        elif checkpoint.state["optimizer"] == type(self.optimizer).__name__:
            adopt_named_state(self.optimizer, moments)
        self.scaler.load_state_dict(checkpoint.state["scaler"])
        if hasattr(self.factor, "load_state") and self.state.curve:
            self.factor.load_state(self.state.curve)
        # A longer run or another patience may go on where the old one ended.
        self.state.phase_ended = self._phase_end()
        self._saved = (self.state.step, self.state.evaluated_step)

    def score_best(self) -> tuple[Scores, bool]:
        """Returns the best checkpoint's validation scores, and whether they come the way its own did.

        Its weights stay in the model; where they are there already, evaluated just now, nothing is computed again.
        What was evaluated from kept activations is so again, for only then are all bits the same.
        """
        parts, best = self.context, self.context.store.find("best")
        assert parts.validation is not None
        tensors = best.load("model")
        if self._best_scores is not None and holds(parts.model, tensors):
            return self._best_scores, True
        load_tensors(parts.model, tensors)
        phase = parts.plan.phases[best.state["train"]["phase"]]
        if parts.prefix is not None:
            parts.prefix.leave()
            if self.state.best_from_prefix:
                self.frozen_modules = parts.enter(phase, 1).frozen_modules
                self.set_train_mode()
                parts.prefix.enter(phase.index)
        with raise_on_oom("an evaluation", "type a smaller trainer.eval_batch_size"):
            scores = parts.evaluator.score(parts.model, parts.validation, keep=True)
        return scores, self.state.best_from_prefix == (parts.prefix is not None and parts.prefix.depth > 0)

    def begin_from(self, tensors: dict[str, torch.Tensor]) -> None:
        """Puts weights of another run's checkpoint in place, at step 0.

        Raises:
            CheckpointError: a tensor that the model does not have, or has in another shape.
        """
        own = tensors_of(self.context.model)
        odd = [name for name, value in tensors.items() if name not in own or own[name].shape != value.shape]
        if odd:
            message = f"{len(odd)} of its tensors do not fit this model, such as {odd[0]}"
            raise CheckpointError(
                Problem("freezing.start_from", message, "take a run of the same model and task")
            )
        load_tensors(self.context.model, tensors)
        self.context.saved_names |= tensors.keys()


def total_steps(config: TrainerConfig, steps_per_epoch: int) -> int:
    """Returns the optimizer steps of a run: whichever of epochs and max_steps ends it first."""
    steps = math.ceil(config.epochs * steps_per_epoch - 1e-9)
    return min(steps, config.max_steps) if config.max_steps is not None else steps
