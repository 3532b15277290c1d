"""One label for a text or a pair of texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ftcli.batching.rows import Parts, Rows
from ftcli.batching.table import TokenTable
from ftcli.config import ColumnsConfig, TaskConfig
from ftcli.errors import DataError, Problem
from ftcli.registry import register
from ftcli.task.labels import is_unlabelled, label_ids, learn_names
from ftcli.task.output import StepOutput

if TYPE_CHECKING:
    import torch


class Tokenizer(Protocol):
    """What the task needs of a tokenizer."""

    def encode(self, texts: list[str], pairs: list[str] | None) -> TokenTable: ...


@register("task", TaskConfig)
class SequenceClassification:
    """Columns, labels, collation, loss and predictions of a sequence classifier.

    Args:
        label_names: names of the ids 0, 1, ... where they are known, from a config or a finished run.
    """

    auto_class = "AutoModelForSequenceClassification"

    def __init__(
        self, config: TaskConfig, columns: ColumnsConfig, label_names: list[str] | None = None
    ) -> None:
        self.config, self.columns = config, columns
        self.label_names = list(label_names) if label_names else None
        self._declared = self.label_names is not None

    def learn_labels(self, parts: Parts) -> list[str]:
        """Settles the label names and checks the labels of every part against them.

        Raises:
            DataError: no or one class in training, a label unknown to it, a missing label.
            ConfigError: task.num_labels does not agree.
        """
        train = parts.train
        assert train is not None, "labels are learned from training rows"
        column = self.columns.label
        self.label_names = learn_names(train, column, self.label_names, self.config.num_labels)
        self._declared = self._declared or train.class_names is not None
        ids = self._labels(train)
        assert ids is not None
        if len(np.unique(ids)) < 2:
            message = f"all {len(train):,} training rows have the label {self.label_names[ids[0]]!r}"
            hint = f"is {column!r} the right column, {train.origin} the right file?"
            raise DataError(Problem("data.columns.label", message, hint))
        for rows in (parts.validation, parts.test):
            if rows is not None:
                self._labels(rows)
        return self.label_names

    def _labels(self, rows: Rows) -> np.ndarray | None:
        """Returns label ids, or None for a part other than train and validation that has no labels."""
        assert self.label_names is not None, "learn_labels comes first"
        column = self.columns.label
        if rows.name not in ("train", "validation") and is_unlabelled(rows, column, self.label_names):
            return None
        return label_ids(rows, column, self.label_names, declared=self._declared)

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TokenTable:
        """Returns the rows as tokens with label ids (None for an unlabelled part)."""
        labels = self._labels(rows)
        pair = self.columns.text_pair
        pairs = rows.columns[pair] if pair is not None else None
        table = tokenizer.encode(rows.columns[self.columns.text], pairs)
        table.labels = labels
        return table

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

        A row without any token (an empty text under a tokenizer without special tokens) becomes one
        attended PAD token: attention over nothing is NaN in some kernels.

        Args:
            rows: (batch,) row numbers.
            padding_side: `right` or `left`.
            pad_to_multiple: widens the batch to a multiple; the caller minds the model's positions.

        Returns:
            `input_ids`, `attention_mask` and, where the table has them, `token_type_ids`, each
            (batch, seq_len) int64, and `labels` (batch,) int64.
        """
        import torch

        starts, lengths = table.offsets[rows], table.lengths[rows]
        width = max(1, int(lengths.max()))
        if pad_to_multiple:
            width = -(-width // pad_to_multiple) * pad_to_multiple
        place = np.arange(width)[None, :]
        if padding_side == "left":
            place = place - (width - lengths)[:, None]
        filled = (place >= 0) & (place < lengths[:, None])
        source = (starts[:, None] + place)[filled]
        attended = filled.astype(np.int64)
        attended[lengths == 0, 0 if padding_side == "right" else -1] = 1
        arrays = {"input_ids": _spread(table.ids, source, filled, pad_id), "attention_mask": attended}
        if table.token_types is not None:
            arrays["token_type_ids"] = _spread(table.token_types, source, filled, 0)
        if table.labels is not None:
            arrays["labels"] = table.labels[rows]
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def compute_loss(self, model: Any, batch: dict[str, torch.Tensor], *, train: bool) -> StepOutput:
        """Runs the model; the loss is the sum of cross entropies over the rows, in fp32.

        Label smoothing counts in training only: target (1 - s) + s / n for the label, s / n for the
        others (Szegedy et al. 2016, arXiv:1512.00567). Without labels the loss is 0 over 0 targets.
        """
        import torch.nn.functional as F

        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits = model(**inputs).logits.float()
        if "labels" not in batch:
            return StepOutput(logits.new_zeros(()), 0, logits.detach())
        labels = batch["labels"]
        smoothing = self.config.label_smoothing if train else 0.0
        loss_sum = F.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
        return StepOutput(loss_sum, labels.numel(), logits.detach())

    def loss_floor(self, num_labels: int) -> float:
        """Returns the lowest mean training loss there is, in nats: the smoothed target's entropy."""
        share = self.config.label_smoothing / num_labels
        if share == 0.0:
            return 0.0
        top = 1 - share * (num_labels - 1)
        return -top * math.log(top) - (num_labels - 1) * share * math.log(share)

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns how many terms the loss of these rows is a sum of."""
        return len(rows)

    def num_correct(self, output: StepOutput, batch: dict[str, torch.Tensor]) -> int:
        """Returns how many of the output's targets have the highest logit."""
        return int((output.logits.argmax(-1) == batch["labels"]).sum())

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Returns the softmax, (batch, num_labels) fp32."""
        return logits.float().softmax(-1)

    def prediction_row(self, probabilities: np.ndarray, label: int | None = None) -> dict[str, Any]:
        """Returns a row of the predictions file.

        Args:
            probabilities: (num_labels,)
            label: id of the row's label where it has one.
        """
        assert self.label_names is not None, "learn_labels comes first"
        return {
            "label": None if label is None or label < 0 else self.label_names[label],
            "prediction": self.label_names[int(np.argmax(probabilities))],
            "probabilities": dict(zip(self.label_names, map(float, probabilities), strict=True)),
        }


def _spread(flat: np.ndarray, source: np.ndarray, filled: np.ndarray, pad: int) -> np.ndarray:
    """Returns (batch, seq_len) int64 with `flat[source]` where `filled`, `pad` elsewhere."""
    padded = np.full(filled.shape, pad, dtype=np.int64)
    padded[filled] = flat[source]
    return padded
