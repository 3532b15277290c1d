"""Proofs on the rows as they were read: empty, wrongly decoded, duplicate, contradictory, leaked; and the balance of classes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from ftcli.batching.rows import Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import split_name
from ftcli.run.data_checks.findings import Finding, Level, places, share_level

MAX_OVERLAP = 0.02
"""Share of a part's text that may stand in training too. Published sets have some, most of it in rows so short that two
writers wrote them: 16 of CoLA's 1,043 validation rows, 196 of the 3,250 of CoNLL-2003."""
MAX_OVERLAP_ROWS = 0.1
"""Share of a part's rows that may, however short they are."""
MAX_CONTRADICTIONS = 0.02
"""Share of training rows that may contradict another."""
MAX_BROKEN = 0.01
"""Share of rows that may be empty or hold a broken encoding."""
NEAR = 0.7
"""Jaccard similarity of word trigrams from which two texts are nearly the same."""
NEAR_ROWS = 2000
"""Rows of a part that are looked up among the training rows."""
MAX_IMBALANCE = 20
WEIGH_RARE_LABELS = ("f1", "mcc", "span-f1", "balanced-accuracy", "auroc")
MOJIBAKE = re.compile("\\ufffd|Ã[\\u0080-\\u00bf©¨¤¶¼]|â€[\\u0080-\\u00bf™œ\\u009d]|Â[\\u00a0-\\u00bf]")
"""The replacement character, and UTF-8 that was read as Latin-1 or Windows-1252."""


@dataclass(slots=True)
class Part:
    """The rows of a part with their texts normalised and, where they have them, their labels."""

    rows: Rows
    texts: list[str]
    labels: list[bytes] | None
    broken: list[int]
    """Rows that hold characters of a wrong decoding."""
    rejected: dict[int, str] = field(default_factory=dict)
    """Row -> why it should not be trained on."""

    @property
    def name(self) -> str:
        """`train`, `validation` or `test`."""
        return self.rows.name


def read_part(rows: Rows, contents: list[list[Any]] | None, table: TokenTable) -> Part:
    """Returns a part whose texts are equal where the rows differ in upper case and white space alone.

    Args:
        rows: of the part.
        contents: columns that make rows equal (`Task.contents`); None: a row is its bytes in the table.
        table: the rows as tokens or pixels, with their labels.
    """
    # A row that is cut into blocks, or read for what its own tokens are, has nothing that could contradict its text.
    bare = table.labels is None or table.marks_targets
    labels = None if bare else [table.label(row).tobytes() for row in range(len(rows))]
    if contents is None:
        digests = [blake2b(table.row(row).tobytes()).hexdigest() for row in range(len(rows))]
        return Part(rows, digests, labels, [])
    texts = ["\0".join(_normal(value) for value in values) for values in zip(*contents, strict=True)]
    return Part(rows, texts, labels, _broken(contents))


def _broken(columns: list[list[Any]]) -> list[int]:
    """Returns the rows in which some text holds characters of a wrong decoding."""
    found = set()
    for values in columns:
        for row, value in enumerate(values):
            texts = [value] if isinstance(value, str) else value
            if any(MOJIBAKE.search(text) for text in texts):
                found.add(row)
    return sorted(found)


def _normal(value: Any) -> str:
    text = value if isinstance(value, str) else "\1".join(map(str, value))
    return " ".join(text.casefold().split())


def check_texts(part: Part, *, left_out: bool = False) -> list[Finding]:
    """Finds rows without text, and rows whose text was decoded wrongly.

    Args:
        part: as it was read; rows to reject are noted on it.
        left_out: rows without text are of no consequence, as no tokens are made of them.
    """
    empty = [row for row, text in enumerate(part.texts) if not text.strip("\0\1 ")]
    broken = part.broken
    part.rejected |= dict.fromkeys(empty, "empty text") | dict.fromkeys(broken, "broken encoding")
    found = []
    for rows, name, what, hint in (
        (
            empty,
            "empty-rows",
            "have no text",
            "name the right data.columns.text; ftcli check-data --write-clean FILE leaves them out",
        ),
        (
            broken,
            "broken-encoding",
            "hold characters of a wrong decoding",
            "save the file as UTF-8 from its source",
        ),
    ):
        if rows:
            text = f"{part.name}: {len(rows):,} of {len(part.texts):,} rows {what}"
            level = share_level(len(rows), len(part.texts), MAX_BROKEN)
            if left_out and name == "empty-rows":
                level, text, hint = Level.warning, f"{text}: they are left out", ""
            found.append(Finding(name, level, text, hint, places(part.rows, rows)))
    return found


def check_twins(part: Part, *, numbers: bool = False) -> list[Finding]:
    """Finds training rows with one text: copies, and copies with another label.

    Args:
        part: the training part.
        numbers: labels are numbers. Two of them for one text are two measurements, and both are kept.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(part.texts):
        groups[text].append(row)
    twins = [rows for text, rows in groups.items() if len(rows) > 1 and text.strip("\0\1 ")]
    torn, copies = [], []
    for rows in twins:
        if part.labels and len({part.labels[row] for row in rows}) > 1:
            torn.append(rows)
        else:
            copies += rows[1:]
    found = []
    if torn:
        rows = [row for group in torn for row in group]
        what = "number" if numbers else "label"
        text = f"{part.name}: {len(rows):,} of {len(part.texts):,} rows have a text that stands there with another {what} too"
        level = Level.warning if numbers else share_level(len(rows), len(part.texts), MAX_CONTRADICTIONS)
        hint = "decide on one label; ftcli check-data --write-clean FILE leaves them out"
        if numbers:
            hint = "both are learned from; their mean is what can be predicted"
        else:
            part.rejected |= dict.fromkeys(rows, "same text, another label")
        found.append(Finding("contradictory-labels", level, text, hint, places(part.rows, rows)))
    if copies:
        part.rejected |= {row: "copy of an earlier row" for row in copies if row not in part.rejected}
        text = f"{part.name}: {len(copies):,} of {len(part.texts):,} rows are copies of earlier ones"
        found.append(Finding("duplicates", Level.warning, text, "", places(part.rows, copies)))
    return found


def check_overlap(train: Part, other: Part) -> list[Finding]:
    """Finds rows of another part that stand in training, exactly or nearly."""
    known = {text: row for row, text in reversed(list(enumerate(train.texts))) if text.strip("\0\1 ")}
    exact = [row for row, text in enumerate(other.texts) if text in known]
    near = _near(train, other, set(exact))
    for row in exact:
        train.rejected.setdefault(known[other.texts[row]], f"stands in the {other.name} part")
    for number in near.values():
        train.rejected.setdefault(number, f"stands almost word for word in the {other.name} part")
    found = []
    for rows, name, what in (
        (exact, "overlap", "stand"),
        (sorted(near), "near-overlap", "stand almost word for word"),
    ):
        if rows:
            first = train.rows.where(known[other.texts[rows[0]]] if name == "overlap" else near[rows[0]])
            text = f"{other.name}: {len(rows):,} of {len(other.texts):,} rows {what} in the training part, the first at {first}"
            level = Level.warning
            if name == "overlap":
                share, of_text = len(rows) / len(other.texts), _share_of_text(other, rows)
                text += f": {share:.1%} of the rows, {of_text:.1%} of the text"
                level = Level.error if of_text > MAX_OVERLAP or share > MAX_OVERLAP_ROWS else Level.warning
            hint = "ftcli check-data --write-clean FILE leaves them out of the training rows"
            found.append(Finding(name, level, text, hint, places(other.rows, rows)))
    return found


def _share_of_text(part: Part, rows: list[int]) -> float:
    return sum(len(part.texts[row]) for row in rows) / max(1, sum(map(len, part.texts)))


def _near(train: Part, other: Part, skipped: set[int]) -> dict[int, int]:
    """Returns row of the other part -> a training row that shares most of its word trigrams."""
    wanted: dict[int, set[int]] = {}
    for row in range(min(len(other.texts), NEAR_ROWS)):
        if row not in skipped and len(shingles := _shingles(other.texts[row])) >= 4:
            wanted[row] = shingles
    by_shingle: dict[int, list[int]] = defaultdict(list)
    for row, shingles in wanted.items():
        for shingle in shingles:
            by_shingle[shingle].append(row)
    found: dict[int, int] = {}
    for number, text in enumerate(train.texts):
        own = _shingles(text)
        shared = Counter(row for shingle in own if shingle in by_shingle for row in by_shingle[shingle])
        for row, count in shared.items():
            if row not in found and count >= NEAR * (len(own) + len(wanted[row]) - count):
                found[row] = number
    return found


def _shingles(text: str) -> set[int]:
    words = text.split()
    return {hash(tuple(words[i : i + 3])) for i in range(len(words) - 2)}


def check_balance(
    counts: dict[str, dict[str, int]], metrics: Sequence[str] = (), *, places: bool = False
) -> list[Finding]:
    """Looks at how often each class occurs in each part.

    Args:
        counts: part -> label -> rows (or words) that have it.
        metrics: what is measured; those that weigh rare labels make a hint needless.
        places: labels are columns or places of a list, so that one without a row is nobody's mistake.
    """
    train, found = counts["train"], []
    total = sum(train.values())
    shares = sorted(((count / max(total, 1), label) for label, count in train.items()), reverse=True)
    shown = ", ".join(f"{label} {share:.1%}" for share, label in shares[:6])
    found.append(Finding("balance", Level.fact, f"train: {shown}" + (", ..." if len(shares) > 6 else "")))
    gone = [label for label, count in train.items() if not count]
    if gone:
        text = f"train: no row has the label {', '.join(map(repr, gone[:6]))}, so it cannot be learned"
        hint = "add rows that have it, or take it out of data.label_names (task.num_labels)"
        hint = "its column holds 0 alone: add rows that have it" if places else hint
        found.append(Finding("class-missing", Level.warning if places else Level.error, text, hint))
    least = min((count for count in train.values() if count), default=0)
    if least and max(train.values()) > MAX_IMBALANCE * least:
        text = f"train: the most frequent label has {max(train.values()) / least:.0f} times the rows of the rarest"
        fair = any(split_name(name)[0] in WEIGH_RARE_LABELS for name in metrics)
        hint = "" if fair else "accuracy says little here: task.metrics=[f1,mcc] weighs rare labels"
        found.append(Finding("imbalance", Level.warning, text, hint))
    for part, own in counts.items():
        if part != "train" and own:
            found += _other_balance(part, own, train)
    return found


def _other_balance(part: str, own: dict[str, int], train: dict[str, int]) -> list[Finding]:
    present = [label for label, count in own.items() if count]
    if len(present) == 1 and len(own) > 1:
        text = f"{part}: every row has the label {present[0]!r}, so its scores say nothing"
        hint = "take rows of every label, such as by data.validation_share=0.1 of shuffled rows"
        return [Finding("one-class", Level.error, text, hint)]
    here, there = (np.array(list(counts.values()), dtype=float) for counts in (own, train))
    distance = 0.5 * np.abs(here / here.sum() - there / max(there.sum(), 1)).sum()
    if distance > 0.2:
        text = f"{part}: its labels are distributed otherwise than in training ({distance:.0%} of the rows would have to change)"
        return [Finding("label-shift", Level.warning, text, "were the files split after sorting?")]
    return []
