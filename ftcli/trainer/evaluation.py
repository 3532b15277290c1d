"""Scoring a table of rows: the same path for validation, test, `evaluate` and `predict`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ftcli.batching.sampler import evaluation_batches
from ftcli.batching.token_table import TokenTable
from ftcli.runtime.device import autocast
from ftcli.storage.crash_points import crash_point


@dataclass(slots=True)
class Scores:
    """Result of an evaluation.

    `figures` maps plain names to values (`loss` and the metrics); `records` is what the task keeps of
    each row's prediction, in row order, or None unless asked for.
    """

    figures: dict[str, float]
    records: list[np.ndarray] | None


class Evaluator:
    """Holds what an evaluation needs beside the rows.

    Args:
        metrics: name -> metric object with update, compute and reset.
        check: called between batches; raises to interrupt.

    `reading` gives the context in which the forward of a batch runs: (table, rows, batch).
    """

    def __init__(
        self,
        *,
        task: Any,
        metrics: dict[str, Any],
        pad_id: int,
        padding_side: str,
        batch_size: int,
        device: str,
        precision: str,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.task, self.metrics = task, metrics
        self.pad_id, self.padding_side, self.batch_size = pad_id, padding_side, batch_size
        self.device, self.precision, self.check = device, precision, check
        self.reading: Callable[..., AbstractContextManager[None]] = lambda *batch: nullcontext()

    def score(self, model: torch.nn.Module, table: TokenTable, *, keep: bool = False) -> Scores:
        """Returns loss (mean over targets, no label smoothing) and metrics of a labelled table."""
        for metric in self.metrics.values():
            metric.reset()
        loss_sum, targets = 0.0, 0
        kept: dict[int, np.ndarray] = {}
        for rows, batch, output in self.outputs(model, table):
            loss_sum += float(output.loss_sum)
            targets += output.num_targets
            self.count(self.task.scored(output, batch))
            if keep:
                kept.update(zip(rows.tolist(), self.task.records(output, batch), strict=True))
        figures = self.figures() | {"loss": loss_sum / targets if targets else math.nan}
        return Scores(figures, [kept[row] for row in range(len(table))] if keep else None)

    def count(self, scored: dict[str, tuple[Any, Any]]) -> None:
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

    def rescore(self, pieces: Iterable[list[dict[str, Any]]]) -> dict[str, float]:
        """Returns the metrics of saved prediction rows, without the model."""
        for metric in self.metrics.values():
            metric.reset()
        for lines in pieces:
            self.count(self.task.read_back(lines))
        return self.figures()

    def predict(self, model: torch.nn.Module, table: TokenTable) -> list[np.ndarray]:
        """Returns what the task keeps of each row's prediction, in row order; labels are not needed."""
        kept: dict[int, np.ndarray] = {}
        for rows, batch, output in self.outputs(model, table):
            kept.update(zip(rows.tolist(), self.task.records(output, batch), strict=True))
        return [kept[row] for row in range(len(table))]

    @torch.no_grad()
    def outputs(self, model: torch.nn.Module, table: TokenTable) -> Iterator[tuple[np.ndarray, dict, Any]]:
        """Yields (row numbers, batch, task output), longest rows first, the model in eval mode.

        A ModuleList of models is one predictor: the task combines what each of them gives.
        """
        members = list(model) if isinstance(model, torch.nn.ModuleList) else [model]
        training = {module for module in model.modules() if module.training}
        model.eval()
        try:
            for rows in evaluation_batches(table.lengths, self.batch_size):
                self.check()
                crash_point("evaluation")
                batch = self.task.collate(table, rows, pad_id=self.pad_id, padding_side=self.padding_side)
                batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
                with autocast(self.device, self.precision), self.reading(table, rows, batch):
                    outputs = [self.task.compute_loss(one, batch, train=False) for one in members]
                output = outputs[0] if len(outputs) == 1 else self.task.combine(outputs, batch)
                yield rows, batch, output
        finally:
            for module in training:
                module.training = True
