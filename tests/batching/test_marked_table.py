"""Tables whose labels mark the tokens that are learned, and rows beside blocks."""

import numpy as np
import pytest

from ftcli.batching.aligned import aligned
from ftcli.batching.rows import Rows
from ftcli.batching.token_table import TokenTable
from ftcli.errors import DataError


def table(lengths, **options):
    total = sum(lengths)
    ids, offsets = np.arange(total, dtype=np.int32), np.cumsum([0, *lengths], dtype=np.int64)
    return TokenTable(ids, offsets, labels=np.ones(total, dtype=np.uint8), **options)


def test_a_row_of_one_token_has_a_mark_and_no_label():
    """Marks are told from labels by their type: as many rows as tokens would not tell."""
    one = table([1, 1, 1])
    assert one.marks_targets and one.label(2).tolist() == [1]
    assert table([2, 3]).label(1).tolist() == [1, 1, 1]


def test_it_is_saved_and_read(tmp_path):
    written = table([2, 1, 4], extras={"source": np.array([0, 0, 1])})
    written.save(tmp_path / "table")
    read = TokenTable.load(tmp_path / "table")
    assert read.marks_targets and read.labels.tolist() == written.labels.tolist()
    assert read.extras["source"].tolist() == [0, 0, 1]


def test_marks_that_are_not_one_a_token_are_refused(tmp_path):
    wrong = table([2, 1])
    wrong.labels = wrong.labels[:2]
    wrong.save(tmp_path / "table")
    with pytest.raises(DataError, match="do not fit together"):
        TokenTable.load(tmp_path / "table")


def test_rows_stand_beside_their_blocks():
    rows = Rows("train", {"text": ["a", "b"]}, "file", "00", line_numbers=np.array([3, 9]))
    beside = aligned(rows, table([2, 1, 4], extras={"source": np.array([0, 0, 1])}))
    assert [beside.where(row) for row in range(3)] == ["file:3", "file:3", "file:9"]
    assert aligned(rows, table([2, 1])) is rows
