"""Choosing rows: held-out validation rows by content, limits by seed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ftcli.batching.rows import Field, Kind, Rows
from ftcli.config.schema import DataConfig
from ftcli.errors import ConfigError, DataError, Problem

LIMIT_STREAMS = {"train": (1, 0), "validation": (1, 1)}
"""Keeps the draws of the limits apart from each other and from the order of the epochs, all of one seed."""


def hold_out(rows: Rows, fields: Sequence[Field], share: float) -> tuple[Rows, Rows]:
    """Splits training rows in (train, validation), stratified by label where labels are classes.

    Of each label the rows with the smallest content hashes are held out, about `share` of them and at
    least one where the label has two different texts. Neither seed nor file order has a say, and
    rows whose texts differ in upper case and white space alone stay together (under the smallest of their labels). Of rows that
    have no label at all, those without text stay in training.

    Args:
        rows: of training.
        fields: what makes the content of a row, and its label.
        share: of the rows to hold out, in (0, 0.5].
    """
    texts = [rows.columns[field.column] for field in fields if not field.is_label]
    labels = next((rows.columns[field.column] for field in fields if field.kind is Kind.classes), None)
    alike: dict[str, list[int]] = defaultdict(list)
    digests = []
    for row, values in enumerate(zip(*texts, strict=True)):
        digests.append(content_hash(values))
        alike[content_hash(tuple(map(_normal, values)))].append(row)
    if not any(field.is_label for field in fields):
        # Empty lines of plain text are many and equal: held out, they could be the whole of the other part.
        alike.pop(content_hash(tuple("" for _ in texts)), None)
    groups = {min(digests[row] for row in rows): rows for rows in alike.values()}
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


def _normal(value: Any) -> Any:
    """Returns a text, or each text of a list, in lower case with single spaces."""
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    return [_normal(one) for one in value] if isinstance(value, list) else value


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

    Args:
        rows: of one part.
        limit: most rows.
        seed: of the draw.
    """
    if limit >= len(rows):
        return rows
    sequence = np.random.SeedSequence(seed, spawn_key=LIMIT_STREAMS[rows.name])
    drawn = np.random.Generator(np.random.Philox(sequence)).permutation(len(rows))[:limit]
    return rows.take(np.sort(drawn))


def ensure_validation(
    config: DataConfig,
    parts: dict[str, Rows],
    fields: Sequence[Field],
    decisions: list[str],
    *,
    other: tuple[str, str],
) -> None:
    """Holds rows out where a share is set and there is no validation part.

    Args:
        config: of the data.
        parts: part -> rows; gets the validation part.
        fields: what makes the content of a row, and its label.
        decisions: gets a line on what was decided.
        other: the key a missing part is named under, and what would give one without a share.

    Raises:
        ConfigError: neither a part nor a share, or a share out of its range.
        DataError: no row can be held out.
    """
    share, train = config.validation_share, parts["train"]
    if "validation" in parts:
        if share is not None:
            used = parts["validation"].origin
            decisions.append(f"data.validation_share={share} is not used: {used} is the validation part")
        return
    if share is None:
        hint = f"type data.validation_share=0.1 to hold out training rows, or {other[1]}"
        message = f"{train.origin} comes without a validation part"
        raise ConfigError(Problem(other[0], message, hint))
    if not 0 < share <= 0.5:
        expected = "expected a share above 0 and at most 0.5"
        raise ConfigError(Problem("data.validation_share", f"got {share}", expected))
    parts["train"], parts["validation"] = hold_out(train, fields, share)
    if not len(parts["validation"]):
        message = f"no row can be held out: no label of {train.origin} has two different {config.holds}"
        raise DataError(Problem("data.validation_share", message, f"type {other[1]}"))
    held = f"{len(parts['validation']):,} of {len(train):,} training rows are held out"
    decisions.append(f"validation: {held} by label and content (data.validation_share={share})")


def limit_parts(config: DataConfig, parts: dict[str, Rows], seed: int, decisions: list[str]) -> None:
    """Draws the rows that data.limit_train and data.limit_validation leave.

    Args:
        config: of the data.
        parts: part -> rows; changed in place.
        seed: of the draw.
        decisions: gets a line for each part that becomes smaller.
    """
    for name, limit in (("train", config.limit_train), ("validation", config.limit_validation)):
        if limit is not None and name in parts:
            whole, parts[name] = parts[name], limit_rows(parts[name], limit, seed)
            if len(parts[name]) < len(whole):
                drawn = f"{len(parts[name]):,} of {len(whole):,} rows drawn by seed={seed}"
                decisions.append(f"{name}: {drawn} (data.limit_{name}={limit})")
