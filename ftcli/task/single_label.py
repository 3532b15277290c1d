"""One label for a row, whatever the row holds: labels, loss, predictions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch
from ftcli.batching.rows import DatasetSplits, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.task._usage import MOST_PROBABLE
from ftcli.task.base import Task, overconfidence, require_two
from ftcli.task.label_ids import are_ids, label_ids
from ftcli.task.labels import learn_names, names_in

if TYPE_CHECKING:
    import torch


class OneClass(Task):
    """A task whose rows have one label of several; subclasses say what a row is."""

    problem_type = "single_label_classification"
    kinds = ("classes",)
    confusion_kind = "classes"
    error_name = "p(prediction) - p(label)"

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Decides the label names and checks the labels of every part against them.

        Raises:
            DataError: no or one class in training, a label unknown to it, a missing label.
            ConfigError: task.num_labels does not agree.
        """
        train = splits.train
        assert train is not None, "labels are learned from training rows"
        column = self.columns.label
        self.label_names = learn_names(
            train, column, self.label_names, self.config.num_labels, base=self.config.labels_from or 0
        )
        learned = not self.declared and self.config.num_labels is not None
        self.declared = self.declared or train.class_names is not None
        self.reads_ids = are_ids(names_in(train, column), self.label_names, train, learned)
        ids = self.read_labels(train)
        assert ids is not None
        require_two(len(np.unique(ids)), train, column, repr(self.label_names[ids[0]]))
        for rows in (splits.validation, splits.test):
            if rows is not None:
                self.read_labels(rows)
        return self.label_names

    def read_labels(self, rows: Rows) -> np.ndarray | None:
        """Returns label ids (num_rows,) int64, or None for an unlabelled part."""
        assert self.label_names is not None, "learn_labels comes first"
        if self.unlabelled(rows):
            return None
        base = self.config.labels_from or 0
        return label_ids(
            rows,
            self.columns.label,
            self.label_names,
            declared=self.declared,
            base=base,
            own_names=self.declared_names,
            of_head=self.names_of_head,
        )

    def label_counts(self, table: TokenTable) -> dict[str, int] | None:
        """Returns label name -> rows that have it."""
        assert self.label_names is not None and table.labels is not None
        counts = np.bincount(table.labels, minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))

    def loss(self, logits: torch.Tensor, batch: Batch, *, train: bool) -> tuple[torch.Tensor, int]:
        """Returns the sum of cross entropies over the rows, () fp32, and how many rows there are.

        Label smoothing counts in training only: target (1 - s) + s / n for the label, s / n for the
        others (Szegedy et al. 2016, arXiv:1512.00567).

        Args:
            logits: (batch, num_labels).
            batch: with `labels`, (batch,) int64.
            train: whether labels are smoothed.
        """
        import torch.nn.functional as F

        labels = batch["labels"]
        smoothing = self.config.label_smoothing if train else 0.0
        loss = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
        return loss, labels.numel()

    def fit_goal(self, table: TokenTable, rows: np.ndarray) -> tuple[float, float]:
        """Returns (the smoothed target's entropy, 0.01), in nats."""
        assert self.label_names is not None
        num_labels = len(self.label_names)
        share = self.config.label_smoothing / num_labels
        if share == 0.0:
            return 0.0, 0.01
        top = 1 - share * (num_labels - 1)
        return -top * math.log(top) - (num_labels - 1) * share * math.log(share), 0.01

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns probabilities, (batch, num_labels), and label ids, (batch,)."""
        return {"classes": (output.logits.softmax(-1), batch["labels"])}

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns the probabilities of each row, (num_labels,) fp32."""
        return list(output.logits.softmax(-1).cpu().numpy())

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns label, prediction and the probability of each label name; the record is (num_labels,)."""
        assert self.label_names is not None, "learn_labels comes first"
        label = -1 if table.labels is None else int(table.labels[row])
        return {
            "label": None if label < 0 else self.label_names[label],
            "prediction": self.label_names[int(np.argmax(record))],
            "probabilities": dict(zip(self.label_names, map(float, record), strict=True)),
        }

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns probabilities, (num_rows, num_labels), and label ids, (num_rows,), of lines of a predictions file."""
        import torch

        assert self.label_names is not None, "learn_labels comes first"
        ids = {name: i for i, name in enumerate(self.label_names)}
        found = torch.tensor([list(line["probabilities"].values()) for line in lines])
        return {"classes": (found, torch.tensor([ids[line["label"]] for line in lines]))}

    def saved_logits(self, lines: list[dict[str, Any]]) -> torch.Tensor:
        """Returns the log of the probabilities, (batch, num_labels), of lines of a predictions file."""
        import torch

        return torch.tensor([list(line["probabilities"].values()) for line in lines]).log()

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns how much more probable the prediction is than the label; the record is (num_labels,)."""
        assert table.labels is not None
        return overconfidence(record, int(table.labels[row]))

    def added_columns(self) -> list[str]:
        """Returns `prediction` and a column for each label."""
        return ["prediction", *(f"probability_{name}" for name in self.label_names or [])]

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns the most probable label and all probabilities; the record is (num_labels,)."""
        assert self.label_names is not None
        return [self.label_names[int(record.argmax())], *map(float, record)]

    def random_labels(self, num_rows: int) -> np.ndarray:
        """Returns label ids in turn, (num_rows,) int64."""
        return np.arange(num_rows, dtype=np.int64) % (self.config.num_labels or 2)

    def label_text(self, table: TokenTable, row: int) -> str:
        """Returns the name of the row's label."""
        assert self.label_names is not None and table.labels is not None
        return self.label_names[int(table.labels[row])]

    def usage_answer(self) -> list[str]:
        """Returns lines that print the name of the most probable label."""
        return MOST_PROBABLE
