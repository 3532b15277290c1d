"""Any number of labels for a text or a pair of texts, none among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.head import Head
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch
from ftcli.batching.rows import DatasetSplits, Field, Kind, Rows, text_fields
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.same_names import places_of
from ftcli.config.schema import TaskConfig
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.task._label_lists import flag_names, flag_width, flags_of, lists_of
from ftcli.task.base import Task, unused_fields
from ftcli.task.label_ids import are_ids, list_ids
from ftcli.task.labels import named, order_names

if TYPE_CHECKING:
    import torch

THRESHOLD = 0.5
"""A label is predicted from this probability on."""


@dataclass(kw_only=True, slots=True)
class MultiLabelConfig(TaskConfig):
    separator: str = ","
    """What stands between the labels of a row where they are one text, `\\t` for a tab; a list needs none."""
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
    multi_hot: bool | None = None
    """Whether the lists hold a 0 or 1 for every label; None while no training rows were read."""

    def fields(self) -> tuple[Field, ...]:
        """Returns the texts and the column, or the columns, of the labels."""
        texts = tuple(field for field in text_fields(self.columns) if not field.is_label)
        columns = self.config.label_columns or [self.columns.label]
        return (*texts, *(Field("label", column, Kind.label) for column in columns))

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Decides the label names: those declared, the columns', the places of multi-hot lists, else all that occur in training.

        Raises:
            DataError: a value that is no list of labels, or a label that training does not know.
            ConfigError: task.num_labels or data.label_names does not agree.
        """
        assert splits.train is not None, "labels are learned from training rows"
        self.label_names = self._names_of(splits.train)
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

    def _names_of(self, train: Rows) -> list[str]:
        """Returns the names of the labels; also decides whether lists are multi-hot."""
        columns = self.config.label_columns
        self.labels_are_places = bool(columns)
        if columns:
            if self.label_names is not None and len(self.label_names) != len(columns):
                message = (
                    f"names {len(self.label_names)} labels, and task.label_columns has {len(columns)} columns"
                )
                raise ConfigError(Problem("data.label_names", message, f"name {len(columns)} labels"))
            return list(self.label_names or columns)
        lists = self._lists(train)
        declared = self.label_names or train.class_names
        width = flag_width(lists, declared)
        self.multi_hot = self.labels_are_places = width is not None
        if width is not None:
            return flag_names(width, declared)
        self.declared = declared is not None
        if declared is not None:
            return list(declared)
        column = self.columns.label
        names = order_names({n for row, one in enumerate(lists) for n in named(one, train, row, column)})
        if names in (["0"], ["1"], ["0", "1"]) and all(len(one) == 1 for one in lists):
            message = "every row has a list of one 0 or 1: is it an id, or a label that holds or does not?"
            hint = "type data.label_names=[NAME] for one label, data.label_names=[NAME0,NAME1] for ids"
            raise DataError(Problem("data.columns.label", message, hint))
        return names

    def label_reading(self) -> dict[str, Any]:
        """Returns what decides how labels are read: lists of two, 0 and 1, are flags or ids as those of training are."""
        either = {"multi_hot": self.multi_hot} if self.label_names == ["0", "1"] else {}
        return {**super().label_reading(), **either}

    def unlabelled(self, rows: Rows) -> bool:
        """Returns whether a part other than train and validation has none of the label columns."""
        columns = [field.column for field in self.fields() if field.is_label]
        return rows.name not in ("train", "validation") and not set(columns) <= rows.columns.keys()

    def read_labels(self, rows: Rows) -> np.ndarray | None:
        """Returns (num_rows, num_labels) fp32 of 0 and 1, or None for an unlabelled part."""
        assert self.label_names is not None, "learn_labels comes first"
        if self.unlabelled(rows):
            return None
        if columns := self.config.label_columns:
            flags = [[self._flag(rows, name, row) for row in range(len(rows))] for name in columns]
            return np.array(flags, dtype=np.float32).T.copy()
        lists = self._lists(rows)
        if self.multi_hot is None:  # of a finished run
            width = flag_width(lists, self.label_names)
            multi_hot = width is not None and width == len(self.label_names)
        else:
            multi_hot = self.multi_hot
        if multi_hot:
            hot = flags_of(rows, lists, self.label_names)
            # data.label_names name the places of the lists; a finished run may have them in another order.
            places = places_of(self.declared_names or [], self.label_names)
            return hot[:, np.argsort(places)] if places and len(places) == hot.shape[1] else hot
        return self._from_names(
            rows, [named(one, rows, row, self.columns.label) for row, one in enumerate(lists)]
        )

    def _from_names(self, rows: Rows, found: list[list[str]]) -> np.ndarray:
        assert self.label_names is not None
        ids = list_ids(
            rows,
            found,
            self.label_names,
            declared=self.declared,
            base=self.config.labels_from or 0,
            own_names=self.declared_names,
            of_head=self.names_of_head,
        )
        if rows.name == "train":
            self.reads_ids = are_ids(chain.from_iterable(found), self.label_names, rows, learned=False)
        labels = np.zeros((len(rows), len(self.label_names)), dtype=np.float32)
        for row, own in enumerate(ids):
            labels[row, own] = 1
        return labels

    def _lists(self, rows: Rows) -> list[list[Any]]:
        return lists_of(rows, self.columns.label, self.separator)

    @property
    def separator(self) -> str:
        """What stands between the labels of a row; a shell and YAML make it hard to type a tab itself."""
        return self.config.separator.replace("\\t", "\t")

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
        return [self.separator.join(self._chosen(record)), *map(float, record)]

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
