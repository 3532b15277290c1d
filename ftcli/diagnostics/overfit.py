"""`ftcli overfit-batch`: can this setup fit one batch? A verdict with a diagnosis.

The check is Karpathy's ("A Recipe for Training Neural Networks", 2019): a correct pipeline drives
the loss of one batch to its floor in a few hundred steps, while the validation score falls.
The batch is the first one of the run; model, plan, optimizer, precision and dropout are the run's,
the learning rate is held constant. The loss is read in eval mode, so that dropout does not hide a fit.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from ftcli.errors import NonFiniteError
from ftcli.trainer.context import TrainerContext
from ftcli.trainer.trainer import Trainer

if TYPE_CHECKING:
    from ftcli.console.console import Screen
    from ftcli.task.base import Task

MAX_STEPS = 500
READ_EVERY = 5
"""Steps between two readings of the batch's loss in eval mode."""
VALIDATE_EVERY = 25
"""Steps between two scores of the validation rows."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One named cause and the override that fixes it."""

    name: str
    text: str
    hint: str


@dataclass(slots=True)
class Verdict:
    """The outcome of overfit-batch."""

    passed: bool
    """True only for a fit without any diagnosis."""
    steps: int
    loss: float
    """Of the batch in eval mode, at the end."""
    floor: float
    """The lowest loss that is possible; above 0 under label smoothing."""
    accuracy: float | None
    """None for a task in which nothing is right or wrong."""
    score_name: str
    """Of the monitored metric."""
    batch_curve: list[tuple[int, float, float | None]]
    """(step, loss of the batch in eval mode, accuracy)"""
    validation_curve: list[tuple[int, float]]
    """(step, monitored score)"""
    diagnoses: list[Diagnosis] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Returns all fields by name."""
        return dataclasses.asdict(self)


class _Silent:
    """Takes the trainer's events and drops them: this check shows its own curves."""

    def log(self, event: dict[str, Any]) -> None:
        """Drops a log line."""

    def flush(self) -> None:
        """Has nothing to write."""

    def train(self, event: dict[str, Any], total_steps: int) -> None:
        """Drops a progress line."""

    def note(self, line: str) -> None:
        """Drops a note."""

    def advance(self, step: int, total_steps: int) -> None:
        """Drops a step."""

    def evaluation(self, event: dict[str, Any], best: bool) -> None:
        """Drops an evaluation."""


def nothing_trains() -> Verdict:
    """Returns the verdict on a plan that freezes everything; no step can be taken."""
    hint = "type freezing=none, or look at freezing.train and freezing.freeze"
    diagnosis = Diagnosis("nothing trainable", "the plan freezes every parameter", hint)
    return Verdict(False, 0, float("nan"), 0.0, 0.0, "", [], [], [diagnosis])


def silent() -> Any:
    """Returns an object that serves as both event log and reporter and writes nothing."""
    return _Silent()


def overfit(trainer: Trainer, rows: np.ndarray, fresh: frozenset[str], *, screen: Screen) -> Verdict:
    """Trains on `rows` until they are fitted or MAX_STEPS have passed, and says why not.

    Args:
        trainer: at step 0, its lr constant.
        rows: (batch,) row numbers of the batch.
        fresh: names of newly initialized tensors, the head's.
        screen: shows the progress.
    """
    context = trainer.context
    floor, tolerance = _task(context).fit_goal(context.train, rows)
    reachable = _task(context).fit_accuracy(context.train, rows)
    trained = {name for name, parameter in context.model.named_parameters() if parameter.requires_grad}
    diagnoses = [*_static(context, rows, fresh, trained)]
    loss, accuracy = read_batch(trainer, rows)
    batch_curve, validation_curve = [(0, loss, accuracy)], [(0, _validation(trainer))]
    step, stopped = 0, ""
    while step < MAX_STEPS and not _fits(loss, floor + tolerance, accuracy, reachable):
        trainer.train_step.set_train_mode()
        try:
            trainer.train_step(rows)
        except NonFiniteError as error:
            stopped = str(error)
            break
        step += 1
        screen.advance(step, MAX_STEPS)
        if step % READ_EVERY == 0:
            loss, accuracy = read_batch(trainer, rows)
            batch_curve.append((step, loss, accuracy))
        if step % VALIDATE_EVERY == 0:
            validation_curve.append((step, _validation(trainer)))
        trainer.stop.check()
    if validation_curve[-1][0] != step:
        validation_curve.append((step, _validation(trainer)))
    fitted = _fits(loss, floor + tolerance, accuracy, reachable)
    if not fitted and not diagnoses and (why := _task(context).unreachable(context.train, rows)) is not None:
        diagnoses.append(Diagnosis("labels unscaled", *why))
    if not fitted and not diagnoses:
        diagnoses.append(
            _dynamic([value for _, value, _ in batch_curve], floor, stopped, trainer.train_step.base_lrs[0])
        )
    return Verdict(
        fitted and not diagnoses,
        step,
        loss,
        floor,
        accuracy,
        trainer.monitor.name,
        batch_curve,
        validation_curve,
        diagnoses,
    )


@torch.no_grad()
def read_batch(trainer: Trainer, rows: np.ndarray) -> tuple[float, float | None]:
    """Returns training loss per target, and accuracy where there is one, of the batch in eval mode, dropout off.

    Args:
        trainer: its model is left in eval mode.
        rows: (batch,) row numbers.
    """
    context, forward = trainer.context, trainer.context.forward
    context.model.eval()
    batch = forward.collate(context.train, rows)
    output = forward.loss(context.model, batch, train=True)
    targets, correct = max(1, output.num_targets), context.task.num_correct(output, batch)
    return float(output.loss_sum) / targets, None if correct is None else correct / targets


def _validation(trainer: Trainer) -> float:
    assert trainer.context.validation is not None
    scores = trainer.context.evaluator.score(trainer.context.model, trainer.context.validation)
    return scores.figures[trainer.monitor.name]


def _fits(loss: float, goal: float, accuracy: float | None, reachable: float) -> bool:
    return loss <= goal and (accuracy is None or accuracy >= reachable)


def _task(context: TrainerContext) -> Task:
    """Returns the run's task with what the trainer does not ask of it."""
    return cast("Task", context.task)


def _static(
    context: TrainerContext, rows: np.ndarray, fresh: frozenset[str], trained: set[str]
) -> list[Diagnosis]:
    """Returns what is wrong before the first step: in the plan or in the batch's labels."""
    found = []
    frozen_head = sorted(fresh - trained)
    if frozen_head:
        found.append(
            Diagnosis(
                "head frozen",
                f"{frozen_head[0]} is newly created, random and frozen",
                "let the head train: freezing=head-only trains it alone",
            )
        )
    if _task(context).constant(context.train, rows):
        found.append(Diagnosis("labels constant", f"all {len(rows)} rows of the batch have one label, so a fit proves nothing",
                               "type a larger trainer.batch_size (or trainer.token_budget, where that is set), or another seed"))  # fmt: skip
    seen: dict[bytes, bytes] = {}
    for row in rows.tolist():
        content, label = context.train.row(row).tobytes(), context.train.label(row).tobytes()
        if seen.setdefault(content, label) != label:
            found.append(Diagnosis("labels contradictory", f"row {row} of the training part has the same tokens as another row and another label",
                                   "fix the rows, or raise tokenizer.max_length if truncation made them equal"))  # fmt: skip
            break
    return found


def _dynamic(losses: list[float], floor: float, stopped: str, lr: float) -> Diagnosis:
    """Reads the cause off the loss curve of a batch that was not fitted."""
    if stopped:
        return Diagnosis("lr diverging", stopped, f"type optimizer.lr={lr / 10:.0e}")
    tail = max(len(losses) // 5, 2)
    end, before, start = np.mean(losses[-tail:]), np.mean(losses[-2 * tail : -tail]), losses[0]
    moved = (max(losses) - min(losses)) / max(start - floor, 1e-9)
    if moved > 0.1 and (end > start * 0.95 or end > before * 1.05):
        return Diagnosis(
            "lr diverging",
            f"the loss went from {start:.3f} to {end:.3f} and does not settle",
            f"type optimizer.lr={lr / 10:.0e}",
        )
    if moved <= 0.1 or end < before:
        return Diagnosis("lr too low", f"the loss is still falling, slowly: {start:.3f} at the start, {losses[-1]:.3f} after {MAX_STEPS} steps",
                         f"type optimizer.lr={lr * 10:.0e}")  # fmt: skip
    return Diagnosis("stuck", f"the loss stays at {end:.3f}, {end - floor:.3f} above its floor",
                     "look at the labels of this batch, at model.dropout, at what trains (ftcli train --dry-run)")  # fmt: skip
