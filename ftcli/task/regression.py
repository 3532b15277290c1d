"""A number for a text or a pair of texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.head import Head
from ftcli.batching.label_scale import LabelScale
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch
from ftcli.batching.rows import DatasetSplits, Field, Kind, Rows, text_fields
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.errors import DataError, Problem
from ftcli.task.base import Task, require_two, unused_fields, without_values

if TYPE_CHECKING:
    import torch

COARSE = 0.01
"""Largest step between neighbouring 32-bit labels, as a share of their standard deviation."""
LARGEST = float(np.finfo(np.float32).max)
"""Of a label."""
FIT_SHARE = 0.01
"""A batch is fitted when the squared error is this share of its labels' variance."""


@dataclass(kw_only=True, slots=True)
class RegressionConfig(TaskConfig):
    standardize: bool | None = None
    """Whether the model learns (label - mean) / standard deviation, both of the training labels; predictions, metrics
    and exports are in the labels' own unit all the same. None: where |mean| is above 10, or the standard deviation
    above 10 or below 0.1, as with prices and years, which a head that begins near 0 does not reach."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before rows are read."""
        return unused_fields(self, 1, "a regression has one output")


@register("task", RegressionConfig)
class Regression(Task):
    """Columns, labels, loss and predictions of a head with one output, the number itself."""

    heads = (Head("AutoModelForSequenceClassification", peft_task_type="SEQ_CLS"),)
    problem_type = "regression"
    kinds = ("values",)
    error_name = "|prediction - label|"
    pipeline_tag = "text-classification"
    config: RegressionConfig
    scale = LabelScale()
    """The unit of the head's output, once it is learned or restored."""

    def fields(self) -> tuple[Field, ...]:
        """Returns the texts and the column of the number."""
        return text_fields(self.columns, Kind.label)

    def assumed_labels(self) -> list[str]:
        """Returns one name: a regression has one output."""
        return ["0"]

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Checks that every label is a number; the head's output has the column's name.

        Raises:
            DataError: a label that is no finite number, or training labels that are all equal.
        """
        assert splits.train is not None, "labels are learned from training rows"
        self.label_names = [self.columns.label]
        values = self.read_labels(splits.train)
        assert values is not None
        require_two(len(np.unique(values)), splits.train, self.columns.label, f"{values[0]:g}")
        for rows in (splits.validation, splits.test):
            if rows is not None:
                self.read_labels(rows)
        self._learn_scale(values, splits.train)
        return self.label_names

    def _learn_scale(self, values: np.ndarray, rows: Rows) -> None:
        """Decides the unit of the head's output from the training labels, (num_rows,) fp32.

        Raises:
            DataError: labels whose differences 32-bit numbers do not hold.
        """
        exact = values.astype(np.float64)
        found = LabelScale(float(exact.mean()), float(exact.std()))
        largest = np.float32(np.abs(values).max())
        if np.spacing(largest) > COARSE * found.std:
            message = f"labels up to {largest:g} with a {found} lose their differences in 32-bit numbers"
            hint = f"subtract {found.mean:.0f} from the column, or choose a larger unit"
            raise DataError(Problem("data.columns.label", message, hint))
        wanted = self.config.standardize
        if found.needed if wanted is None else wanted:
            self.scale = found
            why = "" if wanted is None else ", as set"
            self.notes = [
                f"labels are standardised{why}: {found} of {len(rows):,} training rows; the loss is in this unit, predictions "
                "and metrics are in the labels' own (task.standardize=false learns them as they are)"
            ]

    @property
    def label_scale(self) -> LabelScale:
        """The unit of the head's output."""
        return self.scale

    def learned(self) -> dict[str, float]:
        """Returns mean and standard deviation where labels are standardised."""
        return self.scale.to_json()

    def restore(self, learned: dict[str, float]) -> None:
        """Takes the scale of a finished run; runs of before there was one have none."""
        self.scale = LabelScale.from_json(learned)

    def unlabelled(self, rows: Rows) -> bool:
        """Returns whether a part other than train and validation has no labels; -1 is a number like any other."""
        return without_values(rows, self.columns.label)

    def read_labels(self, rows: Rows) -> np.ndarray | None:
        """Returns (num_rows,) fp32, or None for an unlabelled part."""
        if self.unlabelled(rows):
            return None
        column = rows.columns[self.columns.label]
        return np.array(
            [self._number(value, rows, row) for row, value in enumerate(column)], dtype=np.float32
        )

    @staticmethod
    def _number(value: Any, rows: Rows, row: int) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        except OverflowError:  # a whole number of hundreds of digits
            number = math.inf
        if not abs(number) <= LARGEST:
            bounds = "" if math.isnan(number) else f" that 32 bits hold, at most {LARGEST:.2g}"
            expected = f"expected a number{bounds}"
            raise DataError(Problem(rows.where(row), f"the label is {value!r:.120}", expected))
        return number

    def logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """Returns the numbers in the head's unit, (batch,) fp32."""
        return super().logits(model, batch)[:, 0]

    def loss(self, logits: torch.Tensor, batch: Batch, *, train: bool) -> tuple[torch.Tensor, int]:
        """Returns the sum of squared errors in the head's unit, (batch,) -> () fp32, and how many rows there are."""
        labels = self.scale.shrink(batch["labels"])
        return ((logits - labels) ** 2).sum(), labels.numel()

    def num_correct(self, output: StepOutput, batch: Batch) -> None:
        """Returns None: no number of the (batch,) is right or wrong."""
        return

    def mean_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Returns the mean number, (members, batch) -> (batch,)."""
        return logits.mean(0)

    def fit_goal(self, table: TokenTable, rows: np.ndarray) -> tuple[float, float]:
        """Returns 0 and a hundredth of the variance of the labels of these rows, (batch,)."""
        assert table.labels is not None
        return 0.0, FIT_SHARE * float(np.var(self.scale.shrink(table.labels[rows]))) or FIT_SHARE

    def unreachable(self, table: TokenTable, rows: np.ndarray) -> tuple[str, str] | None:
        """Returns why these rows, (batch,), may not be fitted whatever the lr is, and the override that helps."""
        assert table.labels is not None
        found = LabelScale(float(np.mean(table.labels)), float(np.std(table.labels)))
        if not self.scale.is_identity or not found.needed:
            return None
        return f"the labels have a {found}, far from what a head begins with", "type task.standardize=true"

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns predicted and true numbers, both (batch,)."""
        return {"values": (self.scale.restore(output.logits), batch["labels"])}

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns the number of each row, () fp32."""
        return list(self.scale.restore(output.logits).cpu().numpy())

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns label and prediction, both numbers; the record is () fp32."""
        label = None if table.labels is None else float(table.labels[row])
        return {"label": label, "prediction": float(record)}

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns predicted and true numbers, both (num_rows,), of lines of a predictions file."""
        import torch

        found, right = ([line[name] for line in lines] for name in ("prediction", "label"))
        return {"values": (torch.tensor(found), torch.tensor(right))}

    def saved_logits(self, lines: list[dict[str, Any]]) -> torch.Tensor:
        """Returns the predicted numbers in the head's unit, (batch,), of lines of a predictions file."""
        import torch

        return self.scale.shrink(torch.tensor([line["prediction"] for line in lines]))

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns the distance of label and prediction; the record is () fp32."""
        assert table.labels is not None
        return abs(float(record) - float(table.labels[row]))

    def added_columns(self) -> list[str]:
        """Returns `prediction`."""
        return ["prediction"]

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns the number; the record is () fp32."""
        return [float(record)]

    def random_labels(self, num_rows: int) -> np.ndarray:
        """Returns numbers in turn, (num_rows,) int64."""
        return np.arange(num_rows, dtype=np.int64) % (self.config.num_labels or 2)

    def label_text(self, table: TokenTable, row: int) -> str:
        """Returns the row's number."""
        assert table.labels is not None
        return f"{float(table.labels[row]):g}"

    def usage_answer(self) -> list[str]:
        """Returns the line that prints the number."""
        return ["print(float(output.logits[0, 0]))"]
