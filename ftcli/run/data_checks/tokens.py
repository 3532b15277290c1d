"""Proofs on the tokens: the tokenizer knows the texts, lengths, what truncation removes, choices that became equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ftcli.batching.rows import Rows
from ftcli.batching.token_table import TokenTable
from ftcli.run.data_checks.findings import Finding, Level, places

if TYPE_CHECKING:
    from ftcli.batching.protocols import TextEncoder
    from ftcli.task.base import Task

MAX_UNKNOWN = 0.2
SOME_UNKNOWN = 0.05
"""Shares of unknown tokens that are refused and said."""


def check_tokens(rows: Rows, table: TokenTable, tokenizer: TextEncoder, task: Task) -> list[Finding]:
    """Looks at one part's tokens.

    Args:
        rows: as they were read.
        table: the rows as tokens.
        tokenizer: that made them.
        task: says what the sequences of a row are.
    """
    found = [
        _lengths(rows, table, tokenizer.max_length, task.sequence_name),
        _unknown(rows, table, tokenizer),
        _special(rows, table, tokenizer, task),
    ]
    if "word_offsets" in table.extras:
        found.append(_words_without_tokens(rows, table))
    if task.alternatives:
        found.append(_equal_sequences(rows, table, task.sequence_name))
    return [finding for finding in found if finding is not None]


def _lengths(rows: Rows, table: TokenTable, limit: int, name: str) -> Finding:
    sizes = np.diff(table.offsets)
    low, median, high, top = np.quantile(sizes, [0.0, 0.5, 0.95, 1.0]).astype(int).tolist()
    count = f"{len(table):,} rows" + ("" if table.groups is None else f" of {len(sizes):,} {name}s")
    text = f"{rows.name}: {count}, tokens a {name} {low} to {top}, median {median}, 95 % at most {high}"
    cut = np.flatnonzero(table.cut_rows)
    if not len(cut):
        return Finding("lengths", Level.fact, text)
    share = table.num_tokens_cut / (table.num_tokens_cut + len(table.ids))
    text += f"; {len(cut):,} rows are longer than {limit} and lose {share:.1%} of all tokens"
    return Finding("truncation", Level.warning, text, "tokenizer.max_length=N", places(rows, cut.tolist()))


def _words_without_tokens(rows: Rows, table: TokenTable) -> Finding | None:
    """Counts words that the tokenizer makes nothing of, such as zero-width spaces: they cannot be learned or found.

    Words that max_length cut off are none of them; `truncation` counts those.
    """
    ends, total, where = table.extras["word_offsets"], 0, []
    for row in range(len(table)):
        first = table.extras["words"][table.offsets[row] : table.offsets[row + 1]]
        seen = first[first >= 0]
        reached = int(seen.max(initial=-1)) + 1 if table.cut_rows[row] else int(ends[row + 1] - ends[row])
        if reached > len(seen):
            total += reached - len(seen)
            where.append(row)
    if not total:
        return None
    text = f"{rows.name}: {total:,} of {int(ends[-1]):,} words have no token: they are not learned, and count as predicted O"
    hint = "leave these words and their tags out of the rows"
    return Finding("words-without-tokens", Level.warning, text, hint, places(rows, where))


def _unknown(rows: Rows, table: TokenTable, tokenizer: TextEncoder) -> Finding | None:
    if tokenizer.unk_id is None or not len(table.ids):
        return None
    unknown = table.ids == tokenizer.unk_id
    share = float(unknown.mean())
    if share <= SOME_UNKNOWN:
        return None
    per_sequence = np.add.reduceat(unknown, table.offsets[:-1]) if len(table.offsets) > 1 else unknown
    worst = np.argsort(-per_sequence, kind="stable")[:3]
    at = worst if table.groups is None else np.searchsorted(table.groups, worst, side="right") - 1
    level = Level.error if share > MAX_UNKNOWN else Level.warning
    text = f"{rows.name}: {share:.0%} of the tokens are unknown to the tokenizer"
    hint = "use the tokenizer that the model was trained with, and texts of its language"
    return Finding("unknown-tokens", level, text, hint, places(rows, sorted(set(at.tolist()))))


def _special(rows: Rows, table: TokenTable, tokenizer: TextEncoder, task: Task) -> Finding | None:
    """Counts rows with more CLS, SEP, BOS, EOS, MASK than the tokenizer itself writes: texts that hold them."""
    texts = task.plain_texts(rows, 0) if len(rows) else []
    roles = ("cls_token", "sep_token", "bos_token", "eos_token", "mask_token")
    ids = {name: getattr(tokenizer.backend, f"{name}_id") for name in roles}
    if not texts or all(i is None for i in ids.values()):
        return None
    written = np.isin(table.ids, [i for i in ids.values() if i is not None])
    own = tokenizer.backend.num_special_tokens_to_add(pair=len(texts[0]) == 2)
    counts = np.diff(np.concatenate([[0], np.cumsum(written)])[table.offsets])
    ordinary = np.diff(table.offsets) > 1  # an empty text is one end token
    more = np.flatnonzero((counts > own) & ordinary)
    if not len(more):
        return None
    at = more if table.groups is None else np.searchsorted(table.groups, more, side="right") - 1
    at = np.unique(at).tolist()
    names = ", ".join(
        sorted({str(getattr(tokenizer.backend, name)) for name, i in ids.items() if i is not None})
    )
    text = f"{rows.name}: {len(at):,} rows hold a special token ({names}) written out, and it is read as that token"
    hint = "remove it from the texts unless you put it there for the model"
    return Finding("special-tokens", Level.warning, text, hint, places(rows, at))


def _equal_sequences(rows: Rows, table: TokenTable, name: str) -> Finding | None:
    """Two choices of a row that are the same tokens cannot be distinguished."""
    if table.labels is None:
        return None
    equal = [row for row in range(len(table)) if _repeats(table, row)]
    if not equal:
        return None
    cut = int(table.cut_rows[equal].sum())
    text = f"{rows.name}: {len(equal):,} rows have two {name}s of the same tokens" + (
        f", {cut:,} of them cut off" if cut else ""
    )
    level = Level.error if cut else Level.warning
    return Finding(
        "equal-choices", level, text, "tokenizer.max_length=N keeps more" if cut else "", places(rows, equal)
    )


def _repeats(table: TokenTable, row: int) -> bool:
    assert table.groups is not None
    spans = range(table.groups[row], table.groups[row + 1])
    contents = [table.ids[table.offsets[i] : table.offsets[i + 1]].tobytes() for i in spans]
    return len(set(contents)) < len(contents)
