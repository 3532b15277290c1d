"""The next token of a text: a language model, as a task of an installed package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.collate import pad
from ftcli.batching.head import Head
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch, Tokenizer, text_encoder
from ftcli.batching.rows import DatasetSplits, Field, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.task.base import Task, TokenMark

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of the last token of a row, which has no next one."""


@register("task", TaskConfig)
class NextToken(Task):
    """Every token but the first is predicted from those before it (Radford et al., 2018)."""

    heads = (Head("AutoModelForCausalLM", per_token=True, peft_task_type="CAUSAL_LM"),)
    kinds = ("ids",)
    error_name = "1 - p(next tokens)"
    pipeline_tag = "text-generation"

    def fields(self) -> tuple[Field, ...]:
        """Returns the column of the text; there is no column of labels."""
        return (Field("text", self.columns.text),)

    def assumed_labels(self) -> list[str]:
        """Returns no names: the outputs are the vocabulary's."""
        return []

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Returns no names: the outputs are the vocabulary's."""
        return []

    def unlabelled(self, rows: Rows) -> bool:
        """Returns False: every text has its next tokens."""
        return False

    def encode(self, rows: Rows, tokenizer: Tokenizer, *, labelled: bool = True) -> TokenTable:
        """Returns the rows as tokens; labels are the next tokens, (num_tokens,) int64, of texts to predict too."""
        table = text_encoder(tokenizer).encode(*self.texts(rows))
        labels = np.append(table.ids[1:], 0).astype(np.int64)
        labels[table.offsets[1:] - 1] = IGNORED
        table.labels = labels
        return table

    def collate(self, table: TokenTable, rows: np.ndarray, **options: Any) -> Batch:
        """Pads rows and labels; `labels` is (batch, seq_len) int64."""
        import torch

        padded = pad(table, rows, **options)
        arrays = padded.arrays | {"labels": padded.spread(table.labels, IGNORED)}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def loss(self, logits: torch.Tensor, batch: Batch, *, train: bool) -> tuple[torch.Tensor, int]:
        """Returns the sum of cross entropies of (batch, seq_len, vocab_size) logits, and how many terms it has."""
        import torch.nn.functional as F

        labels = batch["labels"]
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum", ignore_index=IGNORED)
        return loss, int((labels != IGNORED).sum())

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns the tokens of these rows, (batch,), without the first of each."""
        return max(1, int((table.lengths[rows] - 1).sum()))

    def num_correct(self, output: StepOutput, batch: Batch) -> int:
        """Returns how many next tokens of (batch, seq_len) are the most probable ones."""
        labels = batch["labels"]
        return int(((output.logits.argmax(-1) == labels) & (labels != IGNORED)).sum())

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns predicted and right ids of all next tokens, both (num_targets,)."""
        real = batch["labels"] != IGNORED
        return {"ids": (output.logits.argmax(-1)[real], batch["labels"][real])}

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns (2, length - 1) fp64 a row: the most probable next tokens, and the probability of the right ones."""
        labels = batch["labels"]
        chances = output.logits.softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0].double()
        both = np.stack([output.logits.argmax(-1).cpu().numpy(), chances.cpu().numpy()], 1)
        real = (labels != IGNORED).cpu().numpy()
        return [row[:, own] for row, own in zip(both, real, strict=True)]

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns right and predicted ids."""
        right = table.label(row)
        return {
            "label": right[right != IGNORED].tolist(),
            "prediction": record[0].astype(int).tolist(),
        }

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns predicted and right ids of lines of a predictions file."""
        import torch

        found, right = (
            torch.tensor([i for line in lines for i in line[name]]) for name in ("prediction", "label")
        )
        return {"ids": (found, right)}

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns one minus the probability of all next tokens together."""
        return float(1 - record[1].prod())

    def added_columns(self) -> list[str]:
        """Returns the column of the text's probability."""
        return ["probability"]

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns the probability of all next tokens together."""
        return [float(record[1].prod())]

    def token_marks(self, table: TokenTable, row: int) -> dict[int, TokenMark]:
        """Highlights the tokens that are predicted: all but the first."""
        start, end = table.offsets[row : row + 2].tolist()
        return dict.fromkeys(range(start + 1, end), TokenMark(highlighted=True))
