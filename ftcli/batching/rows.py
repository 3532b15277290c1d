"""Rows as they were read: columns, where they came from, and the line of each row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
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

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def where(self, row: int) -> str:
        """Returns `file.tsv:12`, or `file.parquet, row 11` counted from 1, for messages."""
        if self.line_numbers is not None:
            return f"{self.origin}:{self.line_numbers[row]}"
        return f"{self.origin}, row {row + 1}"

    def take(self, positions: np.ndarray, name: str | None = None) -> Rows:
        """Returns some rows under a digest of their own; a row keeps its line number.

        Args:
            positions: (num_taken,) row numbers, in the order wanted.
            name: of the part they become; None: the same part.
        """
        digest = hashlib.sha256(bytes.fromhex(self.sha256))
        digest.update(np.ascontiguousarray(positions, dtype="<i8").tobytes())
        columns = {key: [values[i] for i in positions] for key, values in self.columns.items()}
        lines = None if self.line_numbers is None else self.line_numbers[positions]
        return type(self)(
            name or self.name, columns, self.origin, digest.hexdigest(), lines, self.class_names, self.derived
        )


@dataclass(slots=True)
class DatasetSplits:
    """The parts of a run's data; a part that does not exist is None."""

    train: Rows | None
    validation: Rows | None
    test: Rows | None
    decisions: list[str] = field(default_factory=list)
    """What was decided for the user, one line each."""
