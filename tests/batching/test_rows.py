import hashlib

import numpy as np

from ftcli.batching.rows import Rows

SHA = hashlib.sha256(b"content").hexdigest()


def rows(lines=None):
    return Rows(
        "train", {"text": ["a", "b", "c"], "label": ["0", "1", "0"]}, "dir/train.tsv", SHA, lines, ["x", "y"]
    )


def test_where_names_the_line_or_counts_the_row():
    assert rows(np.array([2, 5, 9])).where(1) == "dir/train.tsv:5"
    assert rows().where(1) == "dir/train.tsv, row 2"


def test_take_keeps_lines_and_class_names_and_has_a_digest_of_its_own():
    whole = rows(np.array([2, 5, 9]))
    part = whole.take(np.array([2, 0]), "validation")
    assert (part.name, len(part), part.columns) == (
        "validation",
        2,
        {"text": ["c", "a"], "label": ["0", "0"]},
    )
    assert [part.where(0), part.where(1)] == ["dir/train.tsv:9", "dir/train.tsv:2"]
    assert part.class_names == ["x", "y"]
    digests = {
        whole.sha256,
        part.sha256,
        whole.take(np.array([0, 2])).sha256,
        whole.take(np.arange(3)).sha256,
    }
    assert len(digests) == 4
    assert whole.take(np.array([2, 0])).sha256 == part.sha256


def test_no_columns_are_no_rows():
    assert len(Rows("train", {}, "x", SHA)) == 0
