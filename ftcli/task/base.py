"""What a task is: everything that is known of it stands in its one file, and the rest of ftcli asks the object.

A task owns meaning: the columns it reads, the head, the collation, the loss, the predictions, the metrics that can
score them, and the code that a model card shows for it. The trainer sees sums of losses over numbers of targets and
nothing else. To add a task, write `ftcli/task/<name>.py` (or a module of an installed package) with a class that
derives from `Task`, and its `conf/task/<name>.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftcli.batching.output import StepOutput
from ftcli.batching.protocols import Batch
from ftcli.batching.rows import Rows
from ftcli.config.schema import TaskConfig
from ftcli.errors import DataError, Problem
from ftcli.task._prediction import PredictionHalf, TokenMark
from ftcli.task._training import TrainingHalf

if TYPE_CHECKING:
    import torch

__all__ = ["Task", "TokenMark", "overconfidence", "require_two", "unused_fields", "without_values"]


class Task(TrainingHalf, PredictionHalf):
    """A task: the training half (rows to loss) and the prediction half (outputs to answers)."""

    def combine(self, outputs: Sequence[StepOutput], batch: Batch) -> StepOutput:
        """Returns the output of an ensemble: the mean probability of its members, as logits.

        Args:
            outputs: of each member, on one batch of (batch,) rows.
            batch: the batch.
        """
        import torch

        logits = self.mean_logits(torch.stack([output.logits for output in outputs]))
        if "labels" not in batch:
            return StepOutput(logits.new_zeros(()), 0, logits)
        return StepOutput(*self.loss(logits, batch, train=False), logits)

    def mean_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Returns the log of the mean probability: (members, batch, num_labels) -> (batch, num_labels)."""
        return logits.softmax(-1).mean(0).log()


def without_values(rows: Rows, column: str) -> bool:
    """Returns whether a part other than train and validation has no labels: no such column, or all null or empty."""
    values = rows.columns.get(column)
    free = rows.name not in ("train", "validation")
    return free and (values is None or all(value in (None, "") for value in values))


def overconfidence(probabilities: np.ndarray, label: int) -> float:
    """Returns how much more probable the prediction is than the label, 0 where it is the label.

    Args:
        probabilities: (num_labels,).
        label: id of the right one.
    """
    return float(probabilities.max() - probabilities[label])


def unused_fields(config: TaskConfig, outputs: int | None, why: str = "") -> list[Problem]:
    """Returns a problem for each common field that is set though the task does not read it.

    Args:
        config: of a task without label smoothing.
        outputs: how many outputs the head has, whatever the labels; None: as many as labels.
        why: what they are.
    """
    problems = []
    if config.label_smoothing:
        message = f"got {config.label_smoothing}; this task smooths no labels"
        problems.append(Problem("task.label_smoothing", message, "task.label_smoothing=0"))
    if outputs is not None and config.num_labels not in (None, outputs):
        problems.append(Problem("task.num_labels", why, "task.num_labels=null"))
    if outputs is not None and config.labels_from is not None:
        message = f"got {config.labels_from}; the labels of this task are no ids"
        problems.append(Problem("task.labels_from", message, "task.labels_from=null"))
    return problems


def require_two(found: int, rows: Rows, column: str, only: str) -> None:
    """Checks that training has two different labels.

    Args:
        found: how many different ones there are.
        rows: of training.
        column: of the labels.
        only: the first one, as messages show it.

    Raises:
        DataError: all training rows have one label.
    """
    if found < 2:
        message = f"all {len(rows):,} training rows have the label {only}"
        hint = f"is {column!r} the right column, {rows.origin} the right file?"
        raise DataError(Problem("data.columns.label", message, hint))
