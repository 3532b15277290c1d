"""What a task is, and what tasks on texts share.

A task owns meaning: the columns it reads, the head, the collation, the loss, the predictions and which
metrics can score them. The trainer sees sums of losses over numbers of targets, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from ftcli.batching.collate import pad
from ftcli.batching.rows import DatasetSplits, Field, Rows, text_fields
from ftcli.batching.token_table import TokenTable
from ftcli.config.schema import ColumnsConfig, TaskConfig
from ftcli.errors import DataError, Problem
from ftcli.task.labels import is_unlabelled
from ftcli.task.output import StepOutput

if TYPE_CHECKING:
    import torch

Scored = dict[str, tuple[Any, Any]]
"""Kind of a metric -> (predictions, labels), in the form that ftcli/metric describes."""


class Tokenizer(Protocol):
    """What a task needs of a tokenizer."""

    def encode(self, texts: list[str], pairs: list[str] | None = None) -> TokenTable: ...
    def encode_words(self, rows: list[list[str]]) -> TokenTable: ...
    def encode_windows(
        self,
        questions: list[str],
        contexts: list[str],
        *,
        step: int,
        spans: np.ndarray | None,
        where: Callable[[int], str],
    ) -> TokenTable: ...


class Task:
    """A task whose rows are tokens; subclasses say what they mean.

    Args:
        config: the task's fields.
        columns: which column means what.
        label_names: names of the head's outputs where they are known, from a config or a finished run.
    """

    auto_classes: ClassVar[tuple[str, ...]]
    """Classes of transformers that know the architecture's head; the first one that has it is taken."""
    problem_type: ClassVar[str | None] = None
    """What config.json says of the head."""
    kinds: ClassVar[tuple[str, ...]]
    """What metrics get from `scored`."""
    error_name: ClassVar[str] = "error"
    """What `error` measures, as the listing of mistakes names it."""
    takes: ClassVar[str] = "texts"
    """What the rows hold: `texts` or `images`."""
    table_class: ClassVar[type[TokenTable]] = TokenTable
    """What `encode` returns."""
    one_output: ClassVar[bool] = False
    """Whether the head has one output, whatever the rows hold."""

    def __init__(
        self, config: TaskConfig, columns: ColumnsConfig, label_names: Sequence[str] | None = None
    ) -> None:
        self.config, self.columns = config, columns
        self.label_names = list(label_names) if label_names else None
        self.declared = self.label_names is not None

    # Rows and labels

    def fields(self) -> tuple[Field, ...]:
        """Returns the columns the task reads."""
        return text_fields(self.columns)

    def learn_labels(self, parts: DatasetSplits) -> list[str]:
        """Settles the names of the head's outputs and checks the labels of every part.

        Raises:
            DataError: a label that means nothing, named with its line.
            ConfigError: a setting that does not agree with the labels.
        """
        raise NotImplementedError

    def read_labels(self, rows: Rows) -> np.ndarray | None:
        """Returns the labels of a part, None for a part other than train and validation that has none."""
        raise NotImplementedError

    def unlabelled(self, rows: Rows) -> bool:
        """Says whether a part may and does go without labels."""
        return rows.name not in ("train", "validation") and is_unlabelled(
            rows, self.columns.label, self.label_names or []
        )

    def encode(self, rows: Rows, tokenizer: Tokenizer, *, labelled: bool = True) -> TokenTable:
        """Returns the rows as tokens with their labels (None for an unlabelled part, or without `labelled`)."""
        labels = self.read_labels(rows) if labelled else None
        table = tokenizer.encode(*self.texts(rows))
        table.labels = labels
        return table

    def texts(self, rows: Rows) -> tuple[list[str], list[str] | None]:
        """Returns the first texts and, where there are pairs, the second ones."""
        pair = self.columns.text_pair
        return rows.columns[self.columns.text], rows.columns[pair] if pair is not None else None

    def label_counts(self, table: TokenTable) -> dict[str, int] | None:
        """Returns how often each label occurs, None where that says nothing."""
        return None

    # A batch

    def collate(
        self,
        table: TokenTable,
        rows: np.ndarray,
        *,
        pad_id: int,
        padding_side: str,
        pad_to_multiple: int | None = None,
    ) -> dict[str, torch.Tensor]:
        """Pads rows of a table to the longest of them.

        Args:
            table: the rows as tokens.
            rows: (batch,) row numbers.
            pad_id: what fills rows up.
            padding_side: `right` or `left`.
            pad_to_multiple: widens the batch to a multiple; the caller minds the model's positions.

        Returns:
            `input_ids`, `attention_mask` and, where the table has them, `token_type_ids`, each
            (num_sequences, seq_len) int64, and `labels`, of the labels' own type.
        """
        import torch

        padded = pad(
            table,
            table.sequences(rows),
            pad_id=pad_id,
            padding_side=padding_side,
            pad_to_multiple=pad_to_multiple,
        )
        batch = {name: torch.from_numpy(array) for name, array in padded.arrays.items()}
        if table.labels is not None:
            batch["labels"] = torch.from_numpy(table.labels[rows])
        return batch

    def logits(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Returns the head's outputs in fp32."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return model(**inputs).logits.float()

    def compute_loss(self, model: Any, batch: dict[str, torch.Tensor], *, train: bool) -> StepOutput:
        """Runs the model; the loss is a sum over targets, in fp32. Without labels it is 0 over 0 targets."""
        logits = self.logits(model, batch)
        if "labels" not in batch:
            return StepOutput(logits.new_zeros(()), 0, logits.detach())
        return StepOutput(*self.loss(logits, batch, train=train), logits.detach())

    def loss(
        self, logits: torch.Tensor, batch: dict[str, torch.Tensor], *, train: bool
    ) -> tuple[torch.Tensor, int]:
        """Returns (sum of the losses of all targets, how many targets)."""
        raise NotImplementedError

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns how many terms the loss of these rows is a sum of."""
        return len(rows)

    def num_correct(self, output: StepOutput, batch: dict[str, torch.Tensor]) -> int | None:
        """Returns how many of the output's targets are predicted right; None where nothing is right or wrong."""
        return int((output.logits.argmax(-1) == batch["labels"]).sum())

    def fit_goal(self, table: TokenTable, rows: np.ndarray) -> tuple[float, float]:
        """Returns (lowest mean training loss there is, distance from it that counts as a fit)."""
        return 0.0, 0.01

    def constant(self, table: TokenTable, rows: np.ndarray) -> bool:
        """Says whether all labels of these rows are equal, so that fitting them proves nothing."""
        return len(np.unique(np.concatenate([np.atleast_1d(table.label(row)) for row in rows]))) < 2

    def combine(self, outputs: Sequence[StepOutput], batch: dict[str, torch.Tensor]) -> StepOutput:
        """Returns the output of an ensemble: the mean probability of its members, as logits."""
        import torch

        logits = self.mean_logits(torch.stack([output.logits for output in outputs]))
        if "labels" not in batch:
            return StepOutput(logits.new_zeros(()), 0, logits)
        return StepOutput(*self.loss(logits, batch, train=False), logits)

    def mean_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Returns the log of the mean probability over the first dimension, the members."""
        return logits.softmax(-1).mean(0).log()

    # Predictions

    def scored(self, output: StepOutput, batch: dict[str, torch.Tensor]) -> Scored:
        """Returns what metrics count of a labelled batch."""
        raise NotImplementedError

    def records(self, output: StepOutput, batch: dict[str, torch.Tensor]) -> list[np.ndarray]:
        """Returns what is kept of each row's prediction, on the CPU."""
        raise NotImplementedError

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns a line of the predictions file; its label is None where the row has none.

        Args:
            record: of `records`.
            table: the rows as tokens.
            rows: the rows as they were read.
            row: the row's number in both.
        """
        raise NotImplementedError

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns what metrics count, from lines of a predictions file."""
        raise NotImplementedError

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns how wrong a row's prediction is, 0 for a right one: for ordering mistakes."""
        raise NotImplementedError

    def added_columns(self) -> list[str]:
        """Returns the columns that `ftcli predict` adds."""
        raise NotImplementedError

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns the values of the added columns for a row."""
        raise NotImplementedError


def without_values(rows: Rows, column: str) -> bool:
    """Says whether a part may go without labels and does: no such column, or all of it null or empty."""
    values = rows.columns.get(column)
    free = rows.name not in ("train", "validation")
    return free and (values is None or all(value in (None, "") for value in values))


def overconfidence(probabilities: np.ndarray, label: int) -> float:
    """Returns how much more probable the prediction is than the label; 0 where it is the label."""
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
    return problems


def require_two(found: int, rows: Rows, column: str, only: str) -> None:
    """Raises DataError where all training rows have one label."""
    if found < 2:
        message = f"all {len(rows):,} training rows have the label {only}"
        hint = f"is {column!r} the right column, {rows.origin} the right file?"
        raise DataError(Problem("data.columns.label", message, hint))
