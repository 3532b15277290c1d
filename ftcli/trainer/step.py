"""One optimizer step: lr, micro-batches, forward, backward, clipping, the update, and a retry where memory runs out."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import torch

from ftcli.batching.output import StepOutput
from ftcli.batching.protocols import Batch
from ftcli.config.schema import TrainerConfig
from ftcli.errors import NO_MEMORY_KINDS, is_out_of_memory
from ftcli.runtime.device import grad_scaler
from ftcli.runtime.seeding import seed_step
from ftcli.runtime.timers import Section
from ftcli.trainer.context import PhaseObjects, TrainerContext
from ftcli.trainer.nonfinite import StepFacts, first_of, require_finite, require_some_applied
from ftcli.trainer.oom import (
    raise_on_oom,
    release,
    single_row_out_of_memory,
    step_already_applied,
)
from ftcli.trainer.sparse_embedding_grad import SparseEmbeddingGradients
from ftcli.trainer.state import StepResult, TrainState, Window
from ftcli.trainer.state_dict import running_statistics
from ftcli.trainer.train_log import TrainLog


@dataclass(slots=True)
class _Attempt:
    """One try of a step: the micro-batch at work, and the sums over all of them.

    Whatever holds activations is a field here, so that dropping the object after a failed try frees their memory.
    """

    lrs: list[float]
    """Of each parameter group."""
    targets: int
    """Of the whole batch: every micro-batch divides by it, so that gradients are exact sums however it is split."""
    loss_sum: float = 0.0
    correct: int | None = 0
    tokens: int = 0
    started: float = field(default_factory=time.perf_counter)
    batch: Batch = field(init=False)
    output: StepOutput = field(init=False)
    loss: torch.Tensor = field(init=False)
    """() the micro-batch's part of the step's mean loss."""


class TrainStep:
    """Trains one batch when it is called with its row numbers.

    `enter` gives it the objects of a phase first. Everything it counts is in `state`.

    Args:
        config: trainer.*.
        context: model, task, rows and what else a step works with.
        state: of the run; updated with each step.
        log: where splits of a batch are written.
        total_steps: of the run, for work after a step.
    """

    objects: PhaseObjects

    def __init__(
        self,
        config: TrainerConfig,
        context: TrainerContext,
        state: TrainState,
        log: TrainLog,
        total_steps: int,
    ) -> None:
        self.config, self.context, self.state, self.log = config, context, state, log
        self.total_steps, self.clock = total_steps, context.clock
        self.scaler = grad_scaler(context.forward.device, context.forward.precision)
        self.statistics = running_statistics(context.model)

    def enter(self, objects: PhaseObjects) -> None:
        """Takes the objects of a phase; what does not train in it is not in its optimizer."""
        self.objects = objects
        self.trained = [p for group in objects.optimizer.param_groups for p in group["params"]]
        # Sparse gradients cannot be unscaled, so fp16 keeps whole tables.
        self.gradients = SparseEmbeddingGradients(
            self.context.model, self.trained, rows=self.context.fast_paths and not self.scaler.is_enabled()
        )
        self.base_lrs = [float(group["lr"]) for group in objects.optimizer.param_groups]
        self.set_train_mode()

    def set_train_mode(self) -> None:
        """Train mode everywhere but in blocks in which nothing trains: no dropout there."""
        self.context.model.train()
        for name in self.objects.frozen_modules:
            self.context.model.get_submodule(name).eval()

    def __call__(self, rows: np.ndarray) -> StepResult:
        """Makes one optimizer step, redone with smaller micro-batches where memory runs out before it is applied.

        Args:
            rows: (batch,) row numbers of the training table.

        Raises:
            NonFiniteError: a loss or gradient is NaN or infinite; nothing was applied.
            NoRoomError: a single row does not fit; nothing was applied.
        """
        context, forward, step = self.context, self.context.forward, self.state.step
        for split in context.micro_batching.at(step):
            self.log.split(split, len(rows), recorded=True)
        statistics = [statistic.clone() for statistic in self.statistics]
        while True:
            attempt = self._begin(rows)
            try:
                for number, micro_batch in enumerate(context.micro_batching.cut(rows, step)):
                    attempt.batch = self._collate(micro_batch, number)
                    with self.clock(Section.forward), forward.autocast(), self._reading(micro_batch, attempt):
                        # Not through Forward.loss, which would be a frame more between a command and the model.
                        attempt.output = forward.task.compute_loss(context.model, attempt.batch, train=True)
                    attempt.loss = self._mean_loss(attempt, first=number == 0)
                    self._backward(micro_batch, attempt)
                return self._finish(rows, attempt)
            except NO_MEMORY_KINDS as error:
                if not is_out_of_memory(error):
                    raise
            # Only here, after the except block: its error holds the frames of the failed forward.
            del attempt
            self._undo(statistics)
            self._split_finer(rows, step)

    def _begin(self, rows: np.ndarray) -> _Attempt:
        """Sets the step's lr and returns an attempt with nothing counted yet."""
        lr_factor = self.objects.lr_lambda(self.state.phase_step)
        lrs = [lr * lr_factor for lr in self.base_lrs]
        for lr in lrs:
            require_finite("the lr", lr, self._facts)
        for group, lr in zip(self.objects.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        return _Attempt(lrs, self.context.task.num_targets(self.context.train, rows))

    def _collate(self, micro_batch: np.ndarray, number: int) -> Batch:
        """Returns the tensors of the micro-batch of this number, and seeds its dropout.

        The seed depends on nothing before it, so a resume needs no state of the generators.
        """
        seed_step(self.context.seed, self.state.step, number)
        with self.clock(Section.collate):
            return self.context.forward.collate(self.context.train, micro_batch)

    def _reading(self, micro_batch: np.ndarray, attempt: _Attempt) -> AbstractContextManager[None]:
        """Returns a context in which the forward begins at cached activations, where the phase has any."""
        with self.clock(Section.activation_read):
            return self.context.forward.reading(self.context.train, micro_batch, attempt.batch)

    def _mean_loss(self, attempt: _Attempt, *, first: bool) -> torch.Tensor:
        """Returns the micro-batch's part of the step's mean loss, (); regularisers are added once a step."""
        # A batch may have no target at all: token classification on rows of which no word has a token.
        loss = attempt.output.loss_sum / max(attempt.targets, 1)
        if first:
            for regulariser in self.context.regularisers:
                loss = loss + regulariser(self.context.model)
        return loss

    def _backward(self, micro_batch: np.ndarray, attempt: _Attempt) -> None:
        """Adds the gradients of the micro-batch, and what it counts to the attempt."""
        output = attempt.output
        loss_sum = float(output.loss_sum.detach())
        self._require_finite_loss("the loss", loss_sum, attempt.batch)
        if self.context.regularisers:
            self._require_finite_loss(
                "the loss with its regularisers", float(attempt.loss.detach()), attempt.batch
            )
        with self.clock(Section.backward):
            self.scaler.scale(attempt.loss).backward()  # type: ignore[no-untyped-call]
        attempt.loss_sum += loss_sum
        correct = self.context.task.num_correct(output, attempt.batch)
        both = correct is not None and attempt.correct is not None
        attempt.correct = (attempt.correct or 0) + (correct or 0) if both else None
        attempt.tokens += int(self.context.train.lengths[micro_batch].sum())

    def _finish(self, rows: np.ndarray, attempt: _Attempt) -> StepResult:
        """Applies the gradients, counts the step and clears up."""
        context, state, optimizer = self.context, self.state, self.objects.optimizer
        hint = "type peft=lora to train fewer parameters, or optimizer=sgd"
        with self.clock(Section.optimizer), raise_on_oom("the optimizer's step", hint):
            norm, applied = self._apply()
        done = Window(1, attempt.loss_sum, attempt.targets, attempt.correct, len(rows), attempt.tokens)
        state.count_step(done)
        if applied:
            # Before the gradients are cleared: AdaLoRA ranks its values by them.
            for work in context.after_step:
                work(context.model, state.step, self.total_steps)
        self.gradients.clear()
        optimizer.zero_grad(set_to_none=True)
        done.seconds = time.perf_counter() - attempt.started
        state.train_seconds += done.seconds
        state.window.add(done)
        return self._result(norm, attempt.lrs)

    def last_result(self) -> StepResult:
        """Returns what a log line shows after a resume, before this process made a step: its norm is not known."""
        lr_factor = self.objects.lr_lambda(max(self.state.phase_step - 1, 0))
        return self._result(math.nan, [lr * lr_factor for lr in self.base_lrs])

    def _result(self, norm: float, lrs: list[float]) -> StepResult:
        groups = self.objects.optimizer.param_groups
        names = [group.get("name", str(i)) for i, group in enumerate(groups)]
        scale = self.scaler.get_scale() if self.scaler.is_enabled() else None
        return StepResult(norm, dict(zip(names, lrs, strict=True)), scale)

    def _apply(self) -> tuple[float, bool]:
        """Clips and steps; returns the gradients' global L2 norm before clipping, and whether they were applied."""
        optimizer = self.objects.optimizer
        self.scaler.unscale_(optimizer)
        limit = self.config.max_grad_norm if self.config.max_grad_norm is not None else math.inf
        trained = self.gradients.take()
        total = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        norm = float(total)
        applied = math.isfinite(norm)
        # Within the limit clip_grad_norm_ would multiply every gradient by 1; by an infinite norm it would make zeros.
        if applied and norm + 1e-6 > limit:
            torch.nn.utils.clip_grads_with_norm_(trained, limit, total)
        self.gradients.put_back()
        if applied:
            self.state.skipped_in_row = 0
        elif self.scaler.is_enabled():
            # The scaler itself skips the update below, and halves its scale.
            self.state.skipped_steps += 1
            self.state.skipped_in_row += 1
            require_some_applied(self.state.skipped_in_row, self.state.step + 1)
        else:
            gradients = ((name, p.grad) for name, p in self.context.model.named_parameters())
            require_finite(
                "the gradient norm", norm, self._facts, source=first_of("the gradient of", gradients)
            )
        # The scaler skips infinite gradients itself, but not finite ones whose norm overflows.
        if applied:
            self.scaler.step(optimizer)
        self.scaler.update()
        return norm, applied

    @property
    def _facts(self) -> StepFacts:
        return StepFacts(self.state.step + 1, self.context.forward.precision, self.base_lrs[0])

    def _require_finite_loss(self, what: str, value: float, batch: Batch) -> None:
        """Lets a finite loss pass; otherwise inputs and weights are looked through for where it comes from."""
        source = ""
        if not math.isfinite(value):
            source = first_of("the input", batch.items())
            source = source or first_of("the weight", self.context.model.named_parameters())
        require_finite(what, value, self._facts, source=source)

    def _undo(self, statistics: list[torch.Tensor]) -> None:
        """Drops the gradients of a failed try, and puts back the running statistics that it changed."""
        self.objects.optimizer.zero_grad(set_to_none=True)
        for statistic, value in zip(self.statistics, statistics, strict=True):
            statistic.copy_(value)
        release(self.context.forward.device)

    def _split_finer(self, rows: np.ndarray, step: int) -> None:
        """Halves the micro-batches of a step and of all after it; the decision is recorded before it is used.

        Raises:
            NoRoomError: the step was applied already, or its micro-batches are single rows.
        """
        if self.state.step != step:
            raise step_already_applied(step)
        finer = self.context.micro_batching.finer(len(rows), step)
        if finer is None:
            raise single_row_out_of_memory(
                step,
                int(self.context.train.lengths[rows].max()),
                device=self.context.forward.device,
                precision=self.context.forward.precision,
                gradient_checkpointing=self.config.gradient_checkpointing,
            )
        self.log.split(finer, len(rows))
