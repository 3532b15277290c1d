"""The rows a run stands on -> token tables, and what data.json tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ftcli.config.schema import Overlength
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.run.inputs import RunInputs

MAX_CUT = 0.1
"""Share of a part's rows that may be longer than max_length before `tokenizer.overlength` has to be stated."""


def encode_parts(
    inputs: RunInputs, parts: Sequence[str] = ("train", "validation", "test"), *, store: bool = True
) -> tuple[dict[str, TokenTable], list[str]]:
    """Returns part -> token table (from the cache where its content is known) and lines on lengths.

    Args:
        inputs: rows, tokenizer and task.
        parts: what to encode.
        store: keep in the cache what was not there.

    Raises:
        DataError: rows longer than max_length where `tokenizer.overlength` does not accept them.
    """
    from ftcli.batching.cache import cached_table

    tables: dict[str, TokenTable] = {}
    lines: list[str] = []
    assert inputs.splits is not None
    for name in parts:
        rows = getattr(inputs.splits, name)
        if rows is None:
            continue
        tables[name], said = cached_table(rows, inputs.tokenizer, inputs.task, inputs.labels, store=store)
        lines += said
        if tables[name].num_truncated:
            line, kept = _overlength(inputs, rows, tables[name])
            lines.append(line)
            if kept is not None:
                inputs.splits.train = kept
                tables[name], _ = cached_table(
                    kept, inputs.tokenizer, inputs.task, inputs.labels, store=store
                )
    return tables, lines


def _overlength(inputs: RunInputs, rows: Rows, table: TokenTable) -> tuple[str, Rows | None]:
    """Returns a line on rows longer than max_length and, where they are dropped, the rows that are left."""
    import numpy as np

    policy, limit = inputs.config.tokenizer.overlength, inputs.tokenizer.max_length
    long = np.flatnonzero(table.cut_rows)
    text = f"{len(long):,} of {len(table):,} rows are longer than {limit} tokens"
    stated = "tokenizer.overlength=truncate cuts them, =drop leaves them out of training, tokenizer.max_length=N keeps more"
    if policy is Overlength.error or (policy is None and len(long) > MAX_CUT * len(table)):
        message = f"{rows.name}: {text}, the first at {rows.where(int(long[0]))}"
        raise DataError(Problem("tokenizer.overlength", message, stated))
    if policy is Overlength.drop and rows.name == "train":
        kept = rows.take(np.flatnonzero(~table.cut_rows))
        if not len(kept):
            raise DataError(
                Problem("tokenizer.overlength", f"train: {text}: none is left", "tokenizer.max_length=N")
            )
        return f"train: {text}: they are left out", kept
    return f"{rows.name}: {text}; {table.num_tokens_cut:,} tokens cut ({stated})", None


def describe_data(inputs: RunInputs, tables: dict[str, TokenTable]) -> dict[str, Any]:
    """Returns what data.json records: files, hashes, row counts, label names, lengths."""
    import numpy as np

    parts: dict[str, Any] = {}
    for name, table in tables.items():
        rows = getattr(inputs.splits, name)
        quantiles = np.quantile(table.lengths, [0.0, 0.5, 0.95, 1.0]).astype(int).tolist()
        counts = None if table.labels is None else inputs.task.label_counts(table)
        parts[name] = {
            "origin": rows.origin,
            "sha256": rows.sha256,
            "rows": len(table.lengths),
            "label_counts": counts,
            "tokens": {
                "total": int(table.lengths.sum()),
                **dict(zip(("min", "median", "p95", "max"), quantiles, strict=True)),
            },
            "rows_truncated": table.num_truncated,
            "tokens_cut": table.num_tokens_cut,
        }
    tokenizer = inputs.tokenizer
    return {
        "labels": inputs.labels,
        **({"task": learned} if (learned := inputs.task.learned()) else {}),
        "columns": asdict(inputs.config.data.columns),
        "parts": parts,
        "reading": inputs.splits.decisions if inputs.splits is not None else [],
        "tokenizer": {
            "fingerprint": tokenizer.fingerprint,
            "max_length": tokenizer.max_length,
            "pad_id": tokenizer.pad_id,
            "padding_side": tokenizer.padding_side,
        },
        "model": {"origin": inputs.source.origin, "fingerprint": inputs.source.fingerprint()},
    }


def require_trainable_rows(tables: dict[str, TokenTable]) -> None:
    """Raises DataError for a part without rows, or without any that is not left out."""
    for name, table in tables.items():
        if not len(table):
            message = f"the {'training' if name == 'train' else name} part has no rows that hold a text"
            message = (
                "the training part has no rows" if name == "train" and not table.marks_targets else message
            )
            raise DataError(Problem("data", message, f"see data.path and data.files.{name}"))
