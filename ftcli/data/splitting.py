"""Drawing rows: held-out validation rows by content, limits by seed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ftcli.batching.rows import Field, Kind, Rows

LIMIT_STREAMS = {"train": (1, 0), "validation": (1, 1)}
"""Keeps the draws of the limits apart from each other and from the order of the epochs, all of one seed."""


def hold_out(rows: Rows, fields: Sequence[Field], share: float) -> tuple[Rows, Rows]:
    """Splits training rows in (train, validation), stratified by label where labels are classes.

    Of each label the rows with the smallest content hashes are held out, about `share` of them and at
    least one where the label has two different texts. Neither seed nor file order has a say, and
    rows with identical texts stay together (under the smallest of their labels).
    """
    texts = [rows.columns[field.column] for field in fields if not field.is_label]
    labels = next((rows.columns[field.column] for field in fields if field.kind is Kind.classes), None)
    groups: dict[str, list[int]] = defaultdict(list)
    for row, values in enumerate(zip(*texts, strict=True)):
        groups[content_hash(values)].append(row)
    strata: dict[str, list[list[int]]] = defaultdict(list)
    for digest in sorted(groups):
        stratum = min(str(labels[row]) for row in groups[digest]) if labels is not None else ""
        strata[stratum].append(groups[digest])
    held = [row for stratum in strata.values() for group in _chosen(stratum, share) for row in group]
    is_held = np.zeros(len(rows), dtype=bool)
    is_held[held] = True
    return rows.take(np.flatnonzero(~is_held)), rows.take(np.flatnonzero(is_held), "validation")


def content_hash(values: tuple[Any, ...]) -> str:
    """Returns the hex sha256 of the texts of a row; lengths keep ("a", "bc") and ("ab", "c") apart."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return hashlib.sha256("".join(f"{len(text)}:{text}" for text in texts).encode()).hexdigest()


def _chosen(groups: list[list[int]], share: float) -> list[list[int]]:
    """Returns the first groups that fit into the share; the smallest one when none fits."""
    target = max(1, round(share * sum(map(len, groups))))
    chosen: list[list[int]] = []
    taken = 0
    for group in groups:
        if taken + len(group) <= target:
            chosen.append(group)
            taken += len(group)
    if len(groups) == 1:
        return []
    return chosen or [min(groups, key=len)]


def limit_rows(rows: Rows, limit: int, seed: int) -> Rows:
    """Returns `limit` rows drawn by seed, in their old order; all when there are no more.

    The rows of a smaller limit are among those of a larger one.
    """
    if limit >= len(rows):
        return rows
    sequence = np.random.SeedSequence(seed, spawn_key=LIMIT_STREAMS[rows.name])
    drawn = np.random.Generator(np.random.Philox(sequence)).permutation(len(rows))[:limit]
    return rows.take(np.sort(drawn))
