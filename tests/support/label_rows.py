"""Rows in memory and tasks on them, for tests of how labels are read."""

import hashlib

import numpy as np
import pytest

from ftcli.batching.rows import DatasetSplits, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import lookup
from ftcli.config.schema import ColumnsConfig
from ftcli.errors import DataError


def make(name="train", class_names=None, **columns):
    length = len(next(iter(columns.values())))
    sha = hashlib.sha256(repr(columns).encode()).hexdigest()
    return Rows(name, columns, f"{name}.tsv", sha, np.arange(2, length + 2), class_names)


def task(name, columns=None, labels=None, **config):
    entry = lookup("task", name)
    return entry.build(entry.config_class(**config), ColumnsConfig(**(columns or {})), labels)


def parts(train, validation=None, test=None):
    return DatasetSplits(train, validation, test)


def refused(built, train, said, where="train.tsv:3"):
    with pytest.raises(DataError) as caught:
        built.learn_labels(parts(train))
    problem = caught.value.problems[0]
    assert problem.key == where and said in problem.message, problem


class Letters:
    """A token a character."""

    fingerprint, max_length = "0" * 64, 99

    def encode(self, texts, pairs=None):
        rows = [a + "|" + b for a, b in zip(texts, pairs, strict=True)] if pairs else texts
        ids = np.array([ord(c) for row in rows for c in row], dtype=np.int32)
        return TokenTable(ids, np.cumsum([0, *map(len, rows)], dtype=np.int64))

    def encode_words(self, rows):
        table = self.encode([" ".join(row) for row in rows])
        first = [
            n if i == 0 else -1
            for row in rows
            for n, w in enumerate(row)
            for i in range(len(w) + (n < len(row) - 1))
        ]
        table.extras["words"] = np.array(first, dtype=np.int64)
        return table
