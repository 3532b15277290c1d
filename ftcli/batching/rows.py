"""Rows as they were read: columns, where they came from, and the line of each row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from ftcli.config.schema import ColumnsConfig


class Kind(Enum):
    """What the values of a column must be."""

    text = "text"
    texts = "texts"
    """A list of texts, or (from csv and tsv) words with a space between them."""
    classes = "classes"
    """The label, one of few: a held-out part is stratified by it."""
    label = "label"
    """The label in any other form; the task reads it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column that a task reads."""

    key: str
    """`text_pair` for data.columns.text_pair, which names it."""
    column: str
    kind: Kind = Kind.text

    @property
    def is_label(self) -> bool:
        """Whether rows to predict have no such column."""
        return self.kind in (Kind.classes, Kind.label)


def text_fields(columns: ColumnsConfig, label: Kind = Kind.classes) -> tuple[Field, ...]:
    """Returns the fields of a text, or a pair of texts, with a label."""
    fields = [Field("text", columns.text)]
    if columns.text_pair is not None:
        fields.append(Field("text_pair", columns.text_pair))
    return (*fields, Field("label", columns.label, label))


def image_fields(columns: ColumnsConfig) -> tuple[Field, ...]:
    """Returns the fields of an image with a label."""
    return Field("image", columns.image), Field("label", columns.label, Kind.classes)


@dataclass(slots=True)
class Rows:
    """The rows of one part, column by column.

    `sha256` stands for the content: equal digests mean equal rows in equal order.
    """

    name: str
    """`train`, `validation` or `test`; `predict` for rows from outside a run."""
    columns: dict[str, list[Any]]
    """Column -> values, all of one length."""
    origin: str
    """File, folder pattern or hub id, as shown to the user."""
    sha256: str
    """Hex digest of the content."""
    line_numbers: np.ndarray | None = None
    """(num_rows,) first line of each row in its file, counted from 1. None where the format has no lines."""
    class_names: list[str] | None = None
    """Names of the label ids 0, 1, ... where the source itself declares them."""
    derived: frozenset[str] = frozenset()
    """Columns that the source does not have: paths into its nested ones."""
    row_numbers: np.ndarray | None = None
    """(num_rows,) number of each row in its file, counted from 1. None: as they stand here."""
    files: tuple[str, ...] = ()
    """Files of the rows, where there are several."""
    file_numbers: np.ndarray | None = None
    """(num_rows,) place in `files` of each row's file."""
    without_name: frozenset[str] = frozenset()
    """Columns whose name in the file's header is empty; their keys here are ours."""
    headed: bool = False
    """Whether the names of the columns are the first line of a file."""
    absent: dict[str, frozenset[int]] = field(default_factory=dict)
    """Column -> rows, from 0, whose JSON object lacks that key: None stands here."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def where(self, row: int) -> str:
        """Returns `file.tsv:12`, or `file.parquet, row 11` counted from 1, for messages."""
        place = self.place(row)
        return f"{place['file']}{':' if self.line_numbers is not None else ', row '}{place['line']}"

    def place(self, row: int) -> dict[str, Any]:
        """Returns where a row comes from, as output rows name it.

        Returns:
            `file`, and `line`: the line the row begins at, from 1; in formats without lines (json, parquet)
            the number of the row in its file, from 1.
        """
        file = self.origin if self.file_numbers is None else self.files[self.file_numbers[row]]
        numbers = self.line_numbers if self.line_numbers is not None else self.row_numbers
        return {"file": file, "line": row + 1 if numbers is None else int(numbers[row])}

    def take(self, positions: np.ndarray, name: str | None = None) -> Rows:
        """Returns some rows under a digest of their own; a row keeps its line number.

        Args:
            positions: (num_taken,) row numbers, in the order wanted.
            name: of the part they become; None: the same part.
        """
        digest = hashlib.sha256(bytes.fromhex(self.sha256))
        digest.update(np.ascontiguousarray(positions, dtype="<i8").tobytes())
        columns = {key: _taken(values, positions) for key, values in self.columns.items()}
        numbers = np.arange(1, len(self) + 1) if self.row_numbers is None else self.row_numbers
        lost = {key: np.isin(positions, list(rows)) for key, rows in self.absent.items()}
        return replace(
            self,
            name=name or self.name,
            columns=columns,
            sha256=digest.hexdigest(),
            line_numbers=None if self.line_numbers is None else self.line_numbers[positions],
            row_numbers=numbers[positions],
            file_numbers=None if self.file_numbers is None else self.file_numbers[positions],
            absent={
                key: frozenset(np.flatnonzero(mask).tolist()) for key, mask in lost.items() if mask.any()
            },
        )


def _taken(values: Any, positions: np.ndarray) -> Any:
    """Returns some values of a column; one that is not a list, such as of Arrow, takes them itself."""
    return [values[i] for i in positions] if isinstance(values, list) else values.take(positions)


@dataclass(slots=True)
class DatasetSplits:
    """The parts of a run's data; a part that does not exist is None."""

    train: Rows | None
    validation: Rows | None
    test: Rows | None
    decisions: list[str] = field(default_factory=list)
    """What was decided for the user, one line each."""
