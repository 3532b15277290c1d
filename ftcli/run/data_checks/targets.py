"""Proofs on the tokens that a language model learns: which they are, and of how many bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ftcli.batching.aligned import SOURCE
from ftcli.batching.rows import Rows
from ftcli.batching.token_table import TokenTable
from ftcli.run.data_checks.findings import Finding, Level, places

if TYPE_CHECKING:
    from ftcli.batching.protocols import TextEncoder

SHOWN = 3


def check_targets(rows: Rows, table: TokenTable, tokenizer: TextEncoder) -> list[Finding]:
    """Counts the tokens of one part that are learned.

    Args:
        rows: in the order of the table's.
        table: with targets marked.
        tokenizer: that made it.
    """
    assert table.labels is not None
    marked = table.labels.astype(bool)
    count, total = int(marked.sum()), len(table.ids)
    if not count:
        text = f"{rows.name}: no token of {len(table):,} rows is learned"
        hint = "is data.columns.text the right column? An empty text has its end alone (task.document_end)"
        return [Finding("targets", Level.error, text, hint)]
    first = " ".join(map(repr, tokenizer.backend.convert_ids_to_tokens(table.ids[marked][:SHOWN].tolist())))
    text = f"{rows.name}: {count:,} of {total:,} tokens are learned ({count / total:.1%}), the first {first}"
    if "num_bytes" in table.extras:
        text += f"; they stand for {int(table.extras['num_bytes'].sum()):,} bytes"
    found = [Finding("targets", Level.fact, text)]
    none = [row for row in range(len(table)) if not table.label(row).any()]
    if none:
        text = f"{rows.name}: {len(none):,} of {len(table):,} rows have no token that is learned"
        found.append(Finding("targets", Level.warning, text, "leave them out", places(rows, none)))
    return [*found, *_written_out(rows, table, tokenizer)]


def _written_out(rows: Rows, table: TokenTable, tokenizer: TextEncoder) -> list[Finding]:
    """Finds special tokens inside documents: texts that hold them. The last token of a document is the task's own."""
    backend = tokenizer.backend
    special = sorted({i for i in (backend.bos_token_id, backend.eos_token_id) if i is not None})
    assert table.labels is not None
    inside = np.isin(table.ids, special) & table.labels.astype(bool)
    source = table.extras.get(SOURCE, np.arange(len(table)))
    last = np.flatnonzero(np.diff(source, append=-1))
    inside[table.offsets[last + 1] - 1] = False
    at = [row for row in range(len(table)) if inside[table.offsets[row] : table.offsets[row + 1]].any()]
    if not at:
        return []
    names = ", ".join(backend.convert_ids_to_tokens(special))
    text = f"{rows.name}: {len(at):,} rows hold a special token ({names}) written out, and it is read as that token"
    hint = "remove it from the texts unless you put it there for the model"
    return [Finding("special-tokens", Level.warning, text, hint, places(rows, at))]
