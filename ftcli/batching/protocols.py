"""What the rooms ask of a tokenizer and of a task, where they may not import the classes that answer.

The trainer, the cache and the data checks are typed by these Protocols. The classes are in `ftcli/tokenizer`
(text, image_processor) and `ftcli/task` (base), which import this file and not each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ftcli.batching.output import Scored, StepOutput
    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.config.schema import ColumnsConfig, TaskConfig

Batch = dict[str, "torch.Tensor"]
"""Tensors of a batch by name: inputs of the model's forward, `labels`, and what a task's own loss reads."""


class Tokenizer(Protocol):
    """Whatever turns rows into a table: a tokenizer of texts or an image processor, with every setting decided."""

    @property
    def pad_id(self) -> int:
        """Token id that fills rows up."""

    @property
    def padding_side(self) -> str:
        """`right` or `left`."""

    @property
    def max_length(self) -> int:
        """Most tokens of a row, special ones included; for images the patches of one."""

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of everything that decides the table's bytes."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the model's inputs that the rows give, such as `input_ids` and `attention_mask`."""

    def save(self, folder: Path, model_folder: Path) -> None:
        """Writes the files with which transformers makes the same inputs.

        Args:
            folder: where the files go; it exists.
            model_folder: the folder that the base model was read from.
        """

    def limits(self) -> list[str]:
        """Returns sentences for a model card: what the inputs may be, and where plain libraries differ."""

    def random_rows(self, draw: np.random.Generator, num_rows: int) -> TokenTable:
        """Returns unlabelled rows drawn at random, of 1 token to `max_length` tokens each, or images of noise."""


class TextEncoder(Tokenizer, Protocol):
    """A tokenizer of texts, as the tasks on texts use it."""

    @property
    def backend(self) -> Any:
        """The Hugging Face tokenizer (transformers' PreTrainedTokenizerBase)."""

    @property
    def vocab_size(self) -> int:
        """Rows of the model's embedding; every id is below it."""

    @property
    def unk_id(self) -> int | None:
        """Id of the unknown token, None where there is none."""

    @property
    def single_end(self) -> int | None:
        """Id of the end token that an encoder-decoder counts, so that no text may hold one; None for others."""

    def encode(self, texts: list[str], pairs: list[str] | None = None) -> TokenTable:
        """Returns a row for each text, or for each pair of texts."""

    def encode_whole(self, texts: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns ids (length,) int32 and bytes up to each token's end (length,) int64 of each text, uncut, nothing added."""

    @property
    def written_start(self) -> list[int]:
        """Ids of the special tokens that the tokenizer itself writes before a text."""

    def encode_words(self, rows: list[list[str]]) -> TokenTable:
        """Returns rows of words; extra `words` (num_tokens,) int64: the word a token is the first of, else -1."""

    def encode_windows(
        self,
        questions: list[str],
        contexts: list[str],
        *,
        step: int,
        spans: np.ndarray | None,
        where: Callable[[int], str],
    ) -> TokenTable:
        """Returns rows of windows of a context (`ftcli.tokenizer.windows.encode_windows` describes the table).

        Args:
            questions: one a row.
            contexts: one a row.
            step: tokens from the beginning of a window to that of the next one.
            spans: (num_rows, 2) characters of the context that are looked for; None: nothing is.
            where: row number -> how messages name the row.
        """


def text_encoder(tokenizer: Tokenizer) -> TextEncoder:
    """Returns the tokenizer as one of texts: `ftcli.config.validate` refuses a task on texts with any other."""
    return cast(TextEncoder, tokenizer)


class ImageEncoder(Tokenizer, Protocol):
    """An image processor, as the tasks on images use it."""

    def encode_images(self, places: Sequence[Any], base: Path, where: Callable[[int], str]) -> TokenTable:
        """Returns a table of images of one size (ftcli.batching.image_table.ImageTable).

        Args:
            places: of the images (`ftcli.batching.image_files.Place`).
            base: folder that relative paths start from.
            where: row number -> how messages name the row.
        """


class Encoder(Protocol):
    """What the cache of token tables reads of a task, and the work that the cache saves."""

    table_class: ClassVar[type[TokenTable]]

    @property
    def columns(self) -> ColumnsConfig:
        """Which column means what."""

    @property
    def config(self) -> TaskConfig:
        """The task's fields."""

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TokenTable:
        """Returns the rows as a table, labels included where there are any."""

    def label_reading(self) -> dict[str, Any]:
        """Returns what decides how labels are read beside config and names, as plain JSON."""


class TrainingTask(Protocol):
    """What the training step reads of a task."""

    def collate(
        self,
        table: TokenTable,
        rows: np.ndarray,
        *,
        pad_id: int,
        padding_side: str,
        pad_to_multiple: int | None = None,
    ) -> Batch:
        """Returns the tensors of some rows, padded to the longest of them.

        Args:
            table: the rows as tokens.
            rows: (batch,) row numbers.
            pad_id: token id that fills rows up.
            padding_side: `right` or `left`.
            pad_to_multiple: widens the batch to a multiple.
        """

    def compute_loss(self, model: Any, batch: Batch, *, train: bool) -> StepOutput:
        """Runs the model on a batch; the loss is a sum over targets, () fp32.

        Args:
            model: in the mode the caller wants.
            batch: of `collate`, on the model's device.
            train: whether what counts in training only (label smoothing) is part of the loss.
        """

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns how many terms the loss of these rows, (batch,) row numbers, is a sum of."""

    def num_correct(self, output: StepOutput, batch: Batch) -> int | None:
        """Returns how many targets are predicted right; None for a task in which nothing is right or wrong."""


class PredictingTask(TrainingTask, Protocol):
    """What an evaluation and a prediction read of a task."""

    kinds: ClassVar[tuple[str, ...]]

    def combine(self, outputs: Sequence[StepOutput], batch: Batch) -> StepOutput:
        """Returns the output of an ensemble, out of its members' on one batch; logits keep their shape, (batch, ...)."""

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns what metrics count of a labelled batch."""

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns what is kept of each of the (batch,) rows, on the CPU; the shape of a record is the task's own."""

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns a line of the predictions file.

        Args:
            record: of `records`, of the task's own shape.
            table: the rows as tokens.
            rows: the rows as they were read.
            row: the row's number in both.
        """

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns what metrics count, from lines of a predictions file."""

    def saved_logits(self, lines: list[dict[str, Any]]) -> torch.Tensor | None:
        """Returns logits, (batch, num_labels) or as `logits` has them, of saved lines; None where lines do not hold them."""
