"""The training half of a task: columns, labels, tables, batches and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ftcli.batching.collate import pad
from ftcli.batching.head import Head, head_of
from ftcli.batching.label_scale import LabelScale
from ftcli.batching.output import StepOutput
from ftcli.batching.protocols import Batch, Tokenizer, text_encoder
from ftcli.batching.rows import DatasetSplits, Field, Rows, text_fields
from ftcli.batching.token_table import TokenTable
from ftcli.config.schema import ColumnsConfig, TaskConfig
from ftcli.task.labels import is_unlabelled

if TYPE_CHECKING:
    import torch

LOWEST_RANDOM_ID = 5
"""Random tokens are drawn from here on: the lowest ids are special tokens in most vocabularies."""


class TrainingHalf:
    """Rows -> labelled tables -> batches -> a loss. The defaults are those of a text, or a pair of texts, with a label.

    A new task must give `heads`, `learn_labels`, `read_labels` and `loss`; everything else has a default.

    Args:
        config: the task's fields.
        columns: which column means what.
        label_names: names of the head's outputs where they are known, from a config or a finished run.
    """

    heads: ClassVar[tuple[Head, ...]]
    """Heads the task can train, the preferred one first."""
    problem_type: ClassVar[str | None] = None
    """`problem_type` of the model's config.json."""
    takes: ClassVar[str] = "texts"
    """What the rows hold, `texts` or `images`; data and tokenizer must be of the same kind."""
    table_class: ClassVar[type[TokenTable]] = TokenTable
    """What `encode` returns."""
    sequence_name: ClassVar[str] = "row"
    """What one sequence of a table is, where a row has several: a choice, a window."""
    cuts_rows: ClassVar[bool] = False
    """Whether a row may become several of the table's, so that their number is known only once it is encoded."""
    combinable: ClassVar[bool] = True
    """Whether the outputs of several models can be averaged to those of one (`Task.combine`)."""
    alternatives: ClassVar[bool] = False
    """Whether the sequences of a row compete, so that two equal ones cannot be distinguished."""

    declared_names: list[str] | None = None
    """`data.label_names` as typed, also for a finished run."""
    names_of_head: bool = False
    """Whether the label names are those that a model's config.json gives its head, and nobody's who knows the rows."""
    labels_are_places: bool = False
    """Whether labels are columns, or places of a list, so that they exist without a row that has them."""
    reads_ids: bool = False
    """Whether the labels of the training rows were read as ids, whose first one the file does not state."""

    def __init__(
        self, config: TaskConfig, columns: ColumnsConfig, label_names: Sequence[str] | None = None
    ) -> None:
        self.config, self.columns = config, columns
        self.label_names = list(label_names) if label_names else None
        self.declared = self.label_names is not None
        self.notes: list[str] = []
        """Lines on what `learn_labels` decided."""

    @property
    def auto_classes(self) -> tuple[str, ...]:
        """Names of the transformers classes of `heads`, in their order."""
        return tuple(head.auto_class for head in self.heads)

    @property
    def has_vocabulary_head(self) -> bool:
        """Whether the outputs are those of the vocabulary, whatever the architecture."""
        return all(head.vocabulary for head in self.heads)

    def head_of(self, model: Any) -> Head:
        """Returns the one of `heads` that a model was built with."""
        return head_of(self.heads, model)

    def check_model(self, hf_config: Any, tokenizer: Tokenizer | None) -> list[str]:
        """Checks that the task fits the architecture, before rows are read; returns lines on what it decides for it.

        Args:
            hf_config: of the model.
            tokenizer: of the run; None where config.json is all that is read.

        Raises:
            ConfigError: it does not.
        """
        return []

    def prepare(self, model: Any) -> list[str]:
        """Finds out what the task must know of a built model, with its adapters, before the first batch; returns lines on it."""
        return []

    def runs_head(self, model: Any) -> bool:
        """Returns whether the task computes the head's outputs itself, after `prepare`, in a precision of its own."""
        return False

    # Rows and labels

    def fields(self) -> tuple[Field, ...]:
        """Returns the columns the task reads."""
        return text_fields(self.columns)

    def assumed_labels(self) -> list[str]:
        """Returns names for the head's outputs where there are no rows to learn them from."""
        return [str(i) for i in range(self.config.num_labels or 2)]

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Decides the names of the head's outputs from the training rows, and checks the labels of every part.

        Returns:
            The names, by id; also kept as `label_names`.

        Raises:
            DataError: a label that cannot be read, named with its line.
            ConfigError: a setting that does not agree with the labels.
        """
        raise NotImplementedError

    @property
    def label_scale(self) -> LabelScale:
        """In which unit the head's one output is; the labels' own, but for regressions."""
        return LabelScale()

    def label_reading(self) -> dict[str, Any]:
        """Returns what decides how labels are read beside `config` and the names, as plain JSON."""
        return {"declared_names": self.declared_names, "names_of_head": self.names_of_head}

    def learned(self) -> dict[str, float]:
        """Returns what `learn_labels` found beside the names and a finished run must know, as plain JSON."""
        return {}

    def restore(self, learned: dict[str, float]) -> None:
        """Takes what `learned` gave in the run that is continued or scored; empty for runs that knew of nothing.

        Raises:
            RunDirError: values that cannot be.
        """

    def read_labels(self, rows: Rows) -> np.ndarray | None:
        """Returns the labels of a part, (num_rows,) or (num_rows, num_labels); None for a part without labels.

        Raises:
            DataError: a label that is missing or not known, named with its line.
        """
        raise NotImplementedError

    def unlabelled(self, rows: Rows) -> bool:
        """Returns whether a part other than train and validation comes without labels."""
        return rows.name not in ("train", "validation") and is_unlabelled(
            rows, self.columns.label, self.label_names or []
        )

    def texts(self, rows: Rows) -> tuple[list[str], list[str] | None]:
        """Returns the first texts and, where there are pairs, the second ones."""
        pair = self.columns.text_pair
        return rows.columns[self.columns.text], rows.columns[pair] if pair is not None else None

    def plain_texts(self, rows: Rows, row: int) -> list[tuple[str, ...]]:
        """Returns the text or two of each sequence of a row, which a plain tokenizer reads as this task does.

        Empty where the task builds its tokens otherwise.
        """
        first, second = self.texts(rows)
        return [(first[row],) if second is None else (first[row], second[row])]

    def contents(self, rows: Rows) -> list[list[Any]] | None:
        """Returns the columns that make two rows equal, apart from the label; None where rows are not made of text."""
        return [rows.columns[field.column] for field in self.fields() if not field.is_label]

    def encode(self, rows: Rows, tokenizer: Tokenizer, *, labelled: bool = True) -> TokenTable:
        """Returns the rows as tokens with their labels.

        Args:
            rows: of one part.
            tokenizer: of the kind that `takes` names.
            labelled: False leaves labels out, as for rows to predict.

        Raises:
            DataError: as `read_labels`, or a text that cannot be tokenized.
        """
        labels = self.read_labels(rows) if labelled else None
        table = text_encoder(tokenizer).encode(*self.texts(rows))
        table.labels = labels
        return table

    def label_counts(self, table: TokenTable) -> dict[str, int] | None:
        """Returns how often each label occurs in a labelled table; None where a count says nothing."""
        return None

    # A batch

    def model_inputs(
        self,
        table: TokenTable,
        rows: np.ndarray,
        *,
        pad_id: int,
        padding_side: str,
        pad_to_multiple: int | None = None,
    ) -> Batch:
        """Returns the inputs of the model's forward, without labels.

        Args:
            table: the rows as tokens.
            rows: (batch,) row numbers.
            pad_id: token id that fills rows up.
            padding_side: `right` or `left`.
            pad_to_multiple: widens the batch to a multiple; the caller must leave room in the model's positions.

        Returns:
            `input_ids`, `attention_mask` and, where the table has them, `token_type_ids`, each
            (num_sequences, seq_len) int64.
        """
        import torch

        padded = pad(
            table,
            table.sequences(rows),
            pad_id=pad_id,
            padding_side=padding_side,
            pad_to_multiple=pad_to_multiple,
        )
        return {name: torch.from_numpy(array) for name, array in padded.arrays.items()}

    def collate(
        self,
        table: TokenTable,
        rows: np.ndarray,
        *,
        pad_id: int,
        padding_side: str,
        pad_to_multiple: int | None = None,
    ) -> Batch:
        """Returns a batch: the inputs of `model_inputs`, and what the loss reads.

        Args:
            table: the rows as tokens.
            rows: (batch,) row numbers.
            pad_id: token id that fills rows up.
            padding_side: `right` or `left`.
            pad_to_multiple: as in `model_inputs`.

        Returns:
            `input_ids` and the like, (num_sequences, seq_len) int64, and `labels`, (batch,) or
            (batch, num_labels), of the labels' own dtype.
        """
        import torch

        batch = self.model_inputs(
            table, rows, pad_id=pad_id, padding_side=padding_side, pad_to_multiple=pad_to_multiple
        )
        if table.labels is not None:
            batch["labels"] = torch.from_numpy(table.labels[rows])
        return batch

    def logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """Runs the model and returns the head's outputs in fp32, (batch, num_labels)."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        return model(**inputs).logits.float()

    def compute_loss(self, model: Any, batch: Batch, *, train: bool) -> StepOutput:
        """Runs the model on a batch.

        Args:
            model: in the mode the caller wants.
            batch: of `collate`, (batch, ...) tensors on the model's device.
            train: whether what counts in training only (label smoothing) is part of the loss.

        Returns:
            The loss as a sum over targets, in fp32; 0 over 0 targets for a batch without labels.
        """
        import torch

        logits = self.logits(model, batch)
        if "labels" not in batch:
            return StepOutput(logits.new_zeros(()), 0, logits.detach())
        with torch.autocast(logits.device.type, enabled=False):
            return StepOutput(*self.loss(logits, batch, train=train), logits.detach())

    def loss(self, logits: torch.Tensor, batch: Batch, *, train: bool) -> tuple[torch.Tensor, int]:
        """Returns the sum of the losses of all targets, () fp32, and how many targets there are.

        Args:
            logits: of `logits`.
            batch: with labels.
            train: as in `compute_loss`.
        """
        raise NotImplementedError

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns how many terms the loss of these rows, (batch,) row numbers, is a sum of; known before the forward."""
        return len(rows)

    # Checks of a setup

    def num_correct(self, output: StepOutput, batch: Batch) -> int | None:
        """Returns how many targets of a batch of (batch,) rows are predicted right; None where nothing is right or wrong."""
        return int((output.logits.argmax(-1) == batch["labels"]).sum())

    def fit_goal(self, table: TokenTable, rows: np.ndarray) -> tuple[float, float]:
        """Returns the lowest mean training loss of these rows, (batch,), and the distance from it that counts as a fit."""
        return 0.0, 0.01

    def fit_accuracy(self, table: TokenTable, rows: np.ndarray) -> float:
        """Returns the share of targets of these rows, (batch,), that a fitted model predicts right."""
        return 1.0

    def unreachable(self, table: TokenTable, rows: np.ndarray) -> tuple[str, str] | None:
        """Returns why these rows, (batch,), may not be fitted whatever the lr is, and the override that helps; None: nothing is known."""
        return None

    def constant(self, table: TokenTable, rows: np.ndarray) -> bool:
        """Returns whether all labels of these rows, (batch,), are equal, so that fitting them proves nothing."""
        return len(np.unique(np.concatenate([np.atleast_1d(table.label(row)) for row in rows]))) < 2

    def random_labels(self, num_rows: int) -> np.ndarray | None:
        """Returns labels for rows of random tokens, (num_rows,); None where the loss needs more than a label a row."""
        return None

    def random_table(self, hf_config: Any, *, num_rows: int, tokens: int, seed: int) -> TokenTable | None:
        """Returns labelled random rows for the measurement of a training step.

        Args:
            hf_config: of the model.
            num_rows: rows to draw.
            tokens: of every row.
            seed: of the draw.

        Returns:
            The table, or None for a task whose rows have another shape than one sequence with one label.
        """
        labels = self.random_labels(num_rows)
        if labels is None:
            return None
        draw = np.random.default_rng(seed)
        ids = draw.integers(LOWEST_RANDOM_ID, int(hf_config.vocab_size), num_rows * tokens).astype(np.int32)
        return TokenTable(ids, np.arange(num_rows + 1, dtype=np.int64) * tokens, labels=labels)
