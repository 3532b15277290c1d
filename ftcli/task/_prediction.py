"""The prediction half of a task: predictions, their files and metrics, and what a model card says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ftcli.batching.head import Head
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch
from ftcli.task._usage import ONE_TEXT, TWO_TEXTS, text_inputs

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.config.schema import ColumnsConfig


@dataclass(frozen=True, slots=True)
class TokenMark:
    """How a token of an example is shown."""

    highlighted: bool = False
    """The token stands out or, where it has a tag, the tag does."""
    tag: str = ""
    """Shown behind the token."""


class PredictionHalf:
    """Outputs -> predictions, their lines in a file, what metrics count, and the code of a model card.

    A new task must give `kinds`, `scored`, `records`, `prediction_row`, `read_back`, `error`, `added_columns` and
    `added_cells`; everything else has a default.
    """

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of predictions that `scored` gives to metrics."""
    confusion_kind: ClassVar[str | None] = None
    """The kind of which a confusion matrix is counted; None: there is no such matrix."""
    error_name: ClassVar[str] = "error"
    """What `error` measures, as the listing of errors names it."""
    pipeline_tag: ClassVar[str | None] = None
    """The hub's name for the task (`pipeline_tag` of a model card); None: it has none."""
    usage_reader: ClassVar[str] = "AutoTokenizer"
    """Class of transformers that reads the exported preprocessing."""

    columns: ColumnsConfig
    label_names: list[str] | None

    # Predictions

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns what metrics count of a labelled batch of (batch,) rows."""
        raise NotImplementedError

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns what is kept of each of the (batch,) rows, on the CPU; the shape of a record is the task's own."""
        raise NotImplementedError

    def merge(self, records: list[np.ndarray], table: TokenTable, num_rows: int) -> list[np.ndarray]:
        """Returns what is kept of each row as it was read; a row whose blocks are table rows has several records.

        Args:
            records: one a table row, each of the task's own shape.
            table: the rows as tokens.
            num_rows: how many were read.
        """
        return records

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns a line of the predictions file, with `label` (None for a row without one) and `prediction` where there are such.

        Args:
            record: of `records`, of the task's own shape.
            table: the rows as tokens.
            rows: the rows as they were read.
            row: the row's number in both.
        """
        raise NotImplementedError

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns what metrics count, from lines of a predictions file."""
        raise NotImplementedError

    def saved_logits(self, lines: list[dict[str, Any]]) -> torch.Tensor | None:
        """Returns logits that give the predictions of lines of a predictions file again, in the shape of `logits`.

        Args:
            lines: of a batch's rows, in order.

        Returns:
            fp32; None where lines do not hold all that the mean of several models takes.
        """
        return None

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns how wrong a row's prediction is, 0 for a right one; errors are listed in this order.

        Args:
            record: of `records`, of the task's own shape.
            table: labelled.
            row: the row's number.
        """
        raise NotImplementedError

    def added_columns(self) -> list[str]:
        """Returns the columns that `ftcli predict` adds."""
        raise NotImplementedError

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns the values of the added columns for a row.

        Args:
            record: of `records`, of the task's own shape.
            table: the rows as tokens; labels are not read.
            rows: the rows as they were read.
            row: the row's number in both.
        """
        raise NotImplementedError

    # An example row, for `ftcli check-data`

    def label_text(self, table: TokenTable, row: int) -> str:
        """Returns the label of a row of a labelled table for display; empty where it is shown in another way."""
        return ""

    def token_marks(self, table: TokenTable, row: int) -> dict[int, TokenMark]:
        """Returns place in `table.ids` -> how the token there is marked, for a row of a labelled table."""
        return {}

    # A model card

    def usage_inputs(self, head: Head, input_names: tuple[str, ...]) -> list[str]:
        """Returns lines of Python that turn a row into `inputs`, a dict of tensors.

        Args:
            head: of the exported model.
            input_names: inputs that the model was given in training.
        """
        return text_inputs(ONE_TEXT if self.columns.text_pair is None else TWO_TEXTS, input_names)

    def usage_call(self) -> str:
        """Returns the call of `model` that gives `output`."""
        return "model(**inputs)"

    def usage_answer(self) -> list[str]:
        """Returns lines of Python that print an answer out of `output`, what the model returned for `inputs`."""
        return ["print(output.logits)"]
