"""Any number of labels for a text or a pair of texts, none among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.head import Head
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch
from ftcli.batching.rows import DatasetSplits, Field, Kind, Rows, text_fields
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.errors import ConfigError, DataError, Problem, did_you_mean
from ftcli.task.base import Task, unused_fields
from ftcli.task.labels import named, order_names

if TYPE_CHECKING:
    import torch

THRESHOLD = 0.5
"""A label is predicted from this probability on."""


@dataclass(kw_only=True, slots=True)
class MultiLabelConfig(TaskConfig):
    separator: str = ","
    """What stands between the labels of a row where they are one text; a list needs none."""
    label_columns: list[str] = field(default_factory=list)
    """Columns of 0 and 1, one a label, in place of data.columns.label."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before rows are read."""
        problems = unused_fields(self, None)
        if not self.separator and not self.label_columns:
            problems.append(Problem("task.separator", "is empty", "task.separator=,"))
        return problems


@register("task", MultiLabelConfig)
class MultiLabel(Task):
    """Columns, labels, loss and predictions of a classifier with a yes or no for each label."""

    heads = (Head("AutoModelForSequenceClassification", peft_task_type="SEQ_CLS"),)
    problem_type = "multi_label_classification"
    kinds = ("multilabel",)
    error_name = "largest |p - label|"
    pipeline_tag = "text-classification"
    config: MultiLabelConfig

    def fields(self) -> tuple[Field, ...]:
        """Returns the texts and the column, or the columns, of the labels."""
        texts = tuple(field for field in text_fields(self.columns) if not field.is_label)
        columns = self.config.label_columns or [self.columns.label]
        return (*texts, *(Field("label", column, Kind.label) for column in columns))

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Decides the label names: the columns', those declared, else all that occur in training.

        Raises:
            DataError: a value that is no list of labels, or a label that training does not know.
            ConfigError: task.num_labels does not agree.
        """
        assert splits.train is not None, "labels are learned from training rows"
        if self.config.label_columns:
            self.label_names = list(self.config.label_columns)
        elif self.label_names is None and splits.train.class_names:
            self.label_names = list(splits.train.class_names)
        elif self.label_names is None:
            names = {name for row in range(len(splits.train)) for name in self._names(splits.train, row)}
            self.label_names = order_names(names)
        expected = self.config.num_labels
        if expected is not None and expected != len(self.label_names):
            message = f"got {expected}, but there are {len(self.label_names)} labels"
            raise ConfigError(
                Problem("task.num_labels", message, f"type task.num_labels={len(self.label_names)}")
            )
        labels = self.read_labels(splits.train)
        assert labels is not None
        if (labels == labels[0]).all():
            message = f"all {len(splits.train):,} training rows have the same labels"
            raise DataError(Problem("data.columns.label", message, "is it the right column?"))
        for rows in (splits.validation, splits.test):
            if rows is not None:
                self.read_labels(rows)
        return self.label_names

    def unlabelled(self, rows: Rows) -> bool:
        """Returns whether a part other than train and validation has none of the label columns."""
        columns = [field.column for field in self.fields() if field.is_label]
        return rows.name not in ("train", "validation") and not set(columns) <= rows.columns.keys()

    def read_labels(self, rows: Rows) -> np.ndarray | None:
        """Returns (num_rows, num_labels) fp32 of 0 and 1, or None for an unlabelled part."""
        assert self.label_names is not None, "learn_labels comes first"
        if self.unlabelled(rows):
            return None
        if self.config.label_columns:
            columns = [[self._flag(rows, name, row) for row in range(len(rows))] for name in self.label_names]
            return np.array(columns, dtype=np.float32).T.copy()
        ids = {name: i for i, name in enumerate(self.label_names)}
        labels = np.zeros((len(rows), len(ids)), dtype=np.float32)
        for row in range(len(rows)):
            for name in self._names(rows, row):
                if name not in ids:
                    message = f"the label {name!r} is not one of the {len(ids)} known"
                    raise DataError(Problem(rows.where(row), message, did_you_mean(name, ids)))
                labels[row, ids[name]] = 1
        return labels

    def _names(self, rows: Rows, row: int) -> list[str]:
        value = rows.columns[self.columns.label][row]
        if value is None or value == "":
            return []
        if isinstance(value, str):
            value = [name.strip() for name in value.split(self.config.separator)]
        if not isinstance(value, list):
            expected = f"expected a list of labels, or text with {self.config.separator!r} between them"
            raise DataError(Problem(rows.where(row), f"the labels are {value!r}", expected))
        return named(value, rows, row)

    @staticmethod
    def _flag(rows: Rows, column: str, row: int) -> int:
        value = rows.columns[column][row]
        if str(value).lower() in ("0", "1", "0.0", "1.0", "true", "false"):
            return int(str(value).lower() in ("1", "1.0", "true"))
        raise DataError(Problem(rows.where(row), f"the column {column!r} holds {value!r}", "expected 0 or 1"))

    def label_counts(self, table: TokenTable) -> dict[str, int] | None:
        """Returns label name -> rows that have it."""
        assert self.label_names is not None and table.labels is not None
        return dict(zip(self.label_names, table.labels.sum(0).astype(int).tolist(), strict=True))

    def loss(self, logits: torch.Tensor, batch: Batch, *, train: bool) -> tuple[torch.Tensor, int]:
        """Returns the sum of binary cross entropies over (batch, num_labels) logits, () fp32, and how many terms it has."""
        import torch.nn.functional as F

        labels = batch["labels"]
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum"), labels.numel()

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns rows, (batch,), x labels."""
        assert self.label_names is not None
        return len(rows) * len(self.label_names)

    def num_correct(self, output: StepOutput, batch: Batch) -> int:
        """Returns how many of the (batch, num_labels) yes-or-no decisions are right."""
        return int(((output.logits.sigmoid() >= THRESHOLD) == (batch["labels"] > 0)).sum())

    def mean_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Returns the logit of the mean probability of each label: (members, batch, num_labels) -> (batch, num_labels)."""
        return logits.sigmoid().mean(0).logit()

    def constant(self, table: TokenTable, rows: np.ndarray) -> bool:
        """Returns whether all of these rows, (batch,), have the same labels."""
        assert table.labels is not None
        return bool((table.labels[rows] == table.labels[rows[0]]).all())

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns probabilities and labels, both (batch, num_labels)."""
        return {"multilabel": (output.logits.sigmoid(), batch["labels"])}

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns the probabilities of each row, (num_labels,) fp32."""
        return list(output.logits.sigmoid().cpu().numpy())

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns the row's labels, those predicted and the probability of each; the record is (num_labels,)."""
        assert self.label_names is not None
        return {
            "label": None if table.labels is None else self._chosen(table.labels[row]),
            "prediction": self._chosen(record),
            "probabilities": dict(zip(self.label_names, map(float, record), strict=True)),
        }

    def _chosen(self, values: np.ndarray) -> list[str]:
        assert self.label_names is not None
        return [name for name, value in zip(self.label_names, values, strict=True) if value >= THRESHOLD]

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns probabilities and labels, both (num_rows, num_labels), of lines of a predictions file."""
        import torch

        assert self.label_names is not None
        found = torch.tensor([list(line["probabilities"].values()) for line in lines])
        labels = [[float(name in line["label"]) for name in self.label_names] for line in lines]
        return {"multilabel": (found, torch.tensor(labels))}

    def saved_logits(self, lines: list[dict[str, Any]]) -> torch.Tensor:
        """Returns the logits of the probabilities, (batch, num_labels), of lines of a predictions file."""
        import torch

        return torch.tensor([list(line["probabilities"].values()) for line in lines]).logit()

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns the largest distance of a probability from its label, 0 where all are right; the record is (num_labels,)."""
        assert table.labels is not None
        distance = np.abs(record - table.labels[row]).max()
        return float(distance) if ((record >= THRESHOLD) != (table.labels[row] > 0)).any() else 0.0

    def added_columns(self) -> list[str]:
        """Returns `prediction` and a column for each label."""
        return ["prediction", *(f"probability_{name}" for name in self.label_names or [])]

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns the predicted labels, joined by the separator, and all probabilities; the record is (num_labels,)."""
        return [self.config.separator.join(self._chosen(record)), *map(float, record)]

    def label_text(self, table: TokenTable, row: int) -> str:
        """Returns the names of the row's labels."""
        assert table.labels is not None
        return ", ".join(self._chosen(table.labels[row])) or "none"

    def usage_answer(self) -> list[str]:
        """Returns lines that print the probability of each label."""
        return [
            "chances = output.logits[0].sigmoid()",
            "print({model.config.id2label[i]: round(float(p), 4) for i, p in enumerate(chances)})",
        ]
