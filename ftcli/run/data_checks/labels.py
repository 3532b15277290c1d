"""Proofs on the names of the labels: each is one name, and means what its text says."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftcli.batching.token_table import TokenTable
from ftcli.config.shell_word import shell_word
from ftcli.metric._spans import scheme_of
from ftcli.run.data_checks.findings import Finding, Level

if TYPE_CHECKING:
    from ftcli.task.base import Task

SEPARATORS = ("|", ";", ",", "/", "\t", "&", "+", " ")
ALWAYS = "|;\t"
"""Separators that a name holds by mistake more often than not."""
PLAIN = ALWAYS + ","
"""Separators that do not stand between words for another reason."""
FEWEST_ROWS = 5
"""Rows that a tag must begin before its place says anything."""
SHOWN = 4
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_HALVES = _BRACKETS | {'"': '"', "'": "'", "`": "`"}


def check_labels(
    task: Task, table: TokenTable, counts: dict[str, int] | None, *, typed: bool = False
) -> list[Finding]:
    """Looks at the names of the labels.

    Args:
        task: after it learned them.
        table: the training rows.
        counts: label -> training rows (or words) that have it; None where the task has no labels with names.
        typed: the names are those of data.label_names, so that only the reading of ids is in doubt.
    """
    if counts is None:
        return []
    names = list(counts)
    found = (
        [] if typed else [*_twins(names), *_invisible(names), *_structure(names), *_separators(task, names)]
    )
    if "tags" in task.kinds:
        found += [_scheme(names), *_first_words(names, table)]
    return [*found, *_from_one(task, counts)]


def _key(name: str) -> str:
    """Returns a name without case, width, spaces at its ends and invisible characters."""
    return " ".join(_visible(unicodedata.normalize("NFKC", name)).split())


def _visible(name: str) -> str:
    return "".join(c for c in name if unicodedata.category(c) not in ("Cf", "Cc") or c.isspace())


def _twins(names: Sequence[str]) -> list[Finding]:
    """Names that are equal but for case, spaces or the way their characters are encoded; `a` and `A` are two letters."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        key = _key(name)
        groups[key if len(key) == 1 else key.casefold()].append(name)
    twins = [own for own in groups.values() if len(own) > 1]
    if not twins:
        return []
    shown = "; ".join(" and ".join(map(ascii, own[:SHOWN])) for own in twins[:SHOWN])
    text = f"labels differ in case, spaces or invisible characters alone: {shown}"
    return [Finding("label-twins", Level.error, text, "give each class one name in the file")]


def _invisible(names: Sequence[str]) -> list[Finding]:
    """Names with spaces at their ends or invisible characters: no other file will spell them so."""
    odd = [name for name in names if name != name.strip() or name != _visible(name)]
    if not odd:
        return []
    text = f"labels begin or end with a space, or hold invisible characters: {_shown(odd)}"
    return [Finding("label-spaces", Level.warning, text, "take them out of the file")]


def _structure(names: Sequence[str]) -> list[Finding]:
    """Names with half of a pair of brackets or quotes around a word: pieces of a list."""
    odd = [name for name in names if _half(name)]
    whole = [name for name in names if not _half(name) and len(name) > 2 and _HALVES.get(name[0]) == name[-1]]
    found = []
    if odd:
        text = f"labels hold a bracket or a quote without its other half: {_shown(odd)}"
        hint = 'is data.format right, and task.separator? A list is written ["a", "b"]'
        found.append(Finding("label-structure", Level.error, text, hint))
    if whole:
        text = f"labels stand in brackets or quotes, which are part of their names: {_shown(whole)}"
        found.append(Finding("label-brackets", Level.warning, text, "take them out of the file"))
    return found


def _half(name: str) -> bool:
    """Whether a name with a letter or digit begins or ends with a bracket or quote whose other half is not in it."""
    if not re.search(r"\w", name) or (name[0] in _HALVES and _HALVES[name[0]] == name[-1] and len(name) > 2):
        return False
    opening = name[0] in _HALVES and _HALVES[name[0]] not in name[1:]
    body = name.rstrip(",:")
    return opening or any(body.endswith(end) and start not in body for start, end in _BRACKETS.items())


def _separators(task: Task, names: Sequence[str]) -> list[Finding]:
    """Names that are other names joined: `rain|snow` beside `rain`."""
    for separator in SEPARATORS:
        joined = [name for name in names if len(_pieces(name, separator)) > 1]
        pieces = Counter(piece.strip() for name in names for piece in set(name.split(separator)))
        # `very` of `very good` and `very bad` is no label: of what separates words too, every piece must be a name.
        known = [name for name in joined if all(pieces[p] > 1 if separator in PLAIN else p in names for p in _pieces(name, separator))]  # fmt: skip
        proven = len(known) > len(joined) / 2
        if joined and (proven or separator in ALWAYS):
            several = hasattr(task.config, "separator")
            level = Level.error if proven and several else Level.warning
            text = f"labels look like several with {separator!r} between them, read as one: {_shown(known or joined)}"
            word = shell_word("task.separator", separator.replace("\t", "\\t"))
            hint = (
                f"type {word}" if several else f"type task=multi-label {word} where a row has several labels"
            )
            if task.confusion_kind == "ids":
                hint = "a tag is one name: is the column split rightly?"
            return [Finding("label-separator", level, text, hint)]
    return []


def _pieces(name: str, separator: str) -> list[str]:
    return [piece.strip() for piece in name.split(separator) if piece.strip()]


def _scheme(names: Sequence[str]) -> Finding:
    scheme = scheme_of(names)
    return Finding("tags", Level.fact, f"the tags' scheme, as span-f1 reads it: {scheme.value}")


def _first_words(names: Sequence[str], table: TokenTable) -> list[Finding]:
    """Tags that stand on the first word of rows alone: an opening bracket, or a column that was filled once a sentence."""
    ends, tags = table.extras["word_offsets"], table.extras["tags"]
    starts = ends[:-1][np.diff(ends) > 1]
    at_start = np.bincount(tags[starts], minlength=len(names))
    everywhere = np.bincount(tags, minlength=len(names))
    odd = [name for name, first, all_ in zip(names, at_start, everywhere, strict=True) if first >= FEWEST_ROWS and first == all_]  # fmt: skip
    if not odd:
        return []
    text = f"tags stand on the first words of rows alone: {_shown(odd)}"
    hint = "is there a tag for every word, and data.columns.label the right column?"
    return [Finding("first-words", Level.warning, text, hint)]


def _from_one(task: Task, counts: dict[str, int]) -> list[Finding]:
    """Ids of which training has no first one: the file may count from 1."""
    if not task.reads_ids or task.config.labels_from is not None:
        return []
    names = list(counts)
    if counts[names[0]]:
        return []
    text = f"the labels are read as ids from 0, and no training row has the id 0 ({names[0]!a})"
    hint = "type task.labels_from=1 where the file counts from 1, task.labels_from=0 where it does not"
    return [Finding("ids-from-one", Level.warning, text, hint)]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(ascii, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
