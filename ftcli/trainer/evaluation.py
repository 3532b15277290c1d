"""Scoring a table of rows: the same path for validation, test, `evaluate` and `predict`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ftcli.batching.eval_mode import eval_mode
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch, PredictingTask
from ftcli.batching.sampler import evaluation_batches
from ftcli.batching.token_table import TokenTable
from ftcli.metric import Metric
from ftcli.storage.crash_points import crash_point
from ftcli.trainer.collapse import Collapse

if TYPE_CHECKING:
    from ftcli.trainer.forward import Forward


@dataclass(slots=True)
class Scores:
    """Result of an evaluation."""

    figures: dict[str, float]
    """Plain names -> values: `loss` and the metrics."""
    records: list[np.ndarray] | None
    """What the task records of each row's prediction, in row order; None unless asked for."""
    collapsed: str | None = None
    """What every row is predicted as, where the labels differ and the predictions do not."""


class Evaluator:
    """Holds what an evaluation needs beside the model and the rows.

    Args:
        forward: collates rows and runs the loss.
        metrics: name as typed -> metric.
        batch_size: rows of a forward pass.
        check: called between batches; raises to interrupt.
    """

    def __init__(
        self,
        *,
        forward: Forward,
        metrics: dict[str, Metric],
        batch_size: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.forward, self.metrics = forward, metrics
        self.batch_size, self.check = batch_size, check

    @property
    def task(self) -> PredictingTask:
        """The task whose rows are scored."""
        return self.forward.task

    def score(self, model: torch.nn.Module, table: TokenTable, *, keep: bool = False) -> Scores:
        """Returns loss (mean over targets, no label smoothing) and metrics of a labelled table.

        Args:
            model: on the device of `forward`; in eval mode while it is scored.
            table: the rows.
            keep: record each row's prediction too.
        """
        return self.score_outputs(self.outputs(model, table), len(table), keep=keep)

    def score_outputs(
        self, outputs: Iterable[tuple[np.ndarray, Batch, StepOutput]], num_rows: int, *, keep: bool
    ) -> Scores:
        """Returns loss and metrics of what a model gave, or of what was saved of it.

        Args:
            outputs: row numbers (batch,), batch and task output, all rows once.
            num_rows: how many rows there are.
            keep: record each row's prediction too.
        """
        for metric in self.metrics.values():
            metric.reset()
        loss_sum, targets, collapse = 0.0, 0, Collapse(getattr(self.task, "label_names", None))
        records: dict[int, np.ndarray] = {}
        for rows, batch, output in outputs:
            loss_sum += float(output.loss_sum)
            targets += output.num_targets
            scored = self.task.scored(output, batch)
            self.count(scored)
            collapse.add(scored)
            if keep:
                records.update(zip(rows.tolist(), self.task.records(output, batch), strict=True))
        figures = self.figures() | {"loss": loss_sum / targets if targets else math.nan}
        kept = [records[row] for row in range(num_rows)] if keep else None
        return Scores(figures, kept, collapse.said())

    def count(self, scored: Scored) -> None:
        """Gives every metric the kind of predictions it takes."""
        for metric in self.metrics.values():
            metric.update(*scored[metric.kind(self.task.kinds)])

    def figures(self) -> dict[str, float]:
        """Returns the metrics of all that was counted; one that has several figures is `name/of what`."""
        figures: dict[str, float] = {}
        for name, metric in self.metrics.items():
            value = metric.compute()
            found = (
                {f"{name}/{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
            )
            figures |= {key: float(v) for key, v in found.items()}
        return figures

    def rescore(self, chunks: Iterable[list[dict[str, Any]]]) -> dict[str, float]:
        """Returns the metrics of saved prediction rows, without the model.

        Args:
            chunks: lines of a predictions file, some at a time.
        """
        for metric in self.metrics.values():
            metric.reset()
        for lines in chunks:
            self.count(self.task.read_back(lines))
        return self.figures()

    def predict(self, model: torch.nn.Module, table: TokenTable) -> list[np.ndarray]:
        """Returns what the task records of each row's prediction, in row order and the task's own shape; labels are not needed."""
        records: dict[int, np.ndarray] = {}
        for rows, batch, output in self.outputs(model, table):
            records.update(zip(rows.tolist(), self.task.records(output, batch), strict=True))
        return [records[row] for row in range(len(table))]

    @torch.no_grad()
    def outputs(
        self, model: torch.nn.Module, table: TokenTable
    ) -> Iterator[tuple[np.ndarray, Batch, StepOutput]]:
        """Yields (row numbers (batch,), batch, task output), longest rows first, the model in eval mode.

        A ModuleList of models is one predictor: the task combines what each of them gives.

        Raises:
            Interrupted: a signal came.
        """
        members = list(model) if isinstance(model, torch.nn.ModuleList) else [model]
        with eval_mode(model):
            for rows in evaluation_batches(table.lengths, self.batch_size):
                self.check()
                crash_point("evaluation")
                batch = self.forward.collate(table, rows)
                with self.forward.reading(table, rows, batch):
                    outputs = [self.forward.loss(one, batch, train=False) for one in members]
                output = outputs[0] if len(outputs) == 1 else self.task.combine(outputs, batch)
                yield rows, batch, output
