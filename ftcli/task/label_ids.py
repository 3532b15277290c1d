"""Names as they stand in a part -> ids: by name, by the ids of a source, by the ids of declared names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ftcli.batching.cells import label_list
from ftcli.batching.rows import Rows
from ftcli.config.same_names import places_of
from ftcli.config.shell_word import shell_word
from ftcli.errors import DataError, Problem, did_you_mean
from ftcli.task.labels import WHOLE_FLOAT, WHOLE_NUMBER, names_in, order_names, without_label

BOOLEANS = (("false", "False", "FALSE"), ("true", "True", "TRUE"))
"""How files write no and yes."""
UNNAMED = re.compile(r"LABEL_\d+")
"""What transformers calls labels whose names nobody gave."""


def label_ids(
    rows: Rows,
    column: str,
    names: list[str],
    *,
    declared: bool,
    base: int = 0,
    own_names: Sequence[str] | None = None,
    of_head: bool = False,
) -> np.ndarray:
    """Returns the id of each row's label, (num_rows,) int64.

    A part's labels are read in one way: all as names, else all as ids of the names that the part's
    own source declares, else (when the names were `declared`, not learned) all as ids.

    Args:
        rows: of one part.
        column: of the labels.
        names: of the labels, by id.
        declared: whether the names come from a config, a source or a finished run.
        base: the first id of a file that counts from it.
        own_names: data.label_names, which name the ids of the rows; a finished run may have them in another order.
        of_head: the names are those that a model's config.json gives its head.

    Raises:
        DataError: a label that is missing or not among `names`; named with its line.
    """
    found = names_in(rows, column)
    ids = best_reading(found, names, rows.class_names, declared=declared, base=base, own_names=own_names)
    lost = next((row for row, name in enumerate(found) if name not in ids), None)
    if lost is None:
        return np.fromiter((ids[name] for name in found), dtype=np.int64, count=len(found))
    if found[lost] is None:
        raise DataError(without_label(rows, lost, column))
    raise DataError(unknown_label(str(found[lost]), names, rows, lost, found, base, of_head=of_head))


def list_ids(
    rows: Rows,
    found: Sequence[Sequence[str]],
    names: list[str],
    *,
    declared: bool,
    base: int,
    own_names: Sequence[str] | None,
    of_head: bool,
    noun: str = "label",
) -> list[list[int]]:
    """Returns the ids of each row's labels where a row has any number of them.

    Args:
        rows: of one part.
        found: the labels of each row.
        names: of the labels, by id.
        declared: as in `label_ids`, like those below.
        base: the first id of a file that counts from it.
        own_names: data.label_names.
        of_head: whether the names are those of a model's config.json.
        noun: what the task calls a label.

    Raises:
        DataError: a label that is not among `names`; named with its line.
    """
    flat = [name for own in found for name in own]
    ids = best_reading(flat, names, None, declared=declared, base=base, own_names=own_names)
    for row, own in enumerate(found):
        lost = next((name for name in own if name not in ids), None)
        if lost is not None:
            raise DataError(unknown_label(lost, names, rows, row, flat, base, noun, of_head=of_head))
    return [[ids[name] for name in own] for own in found]


def unknown_label(
    name: str,
    names: list[str],
    rows: Rows,
    row: int,
    found: Sequence[str | None],
    base: int,
    noun: str = "label",
    *,
    of_head: bool,
) -> Problem:
    """Returns the problem of a label that is none of those known.

    Args:
        name: of the label.
        names: those known, by id.
        rows: where it stands.
        row: its number.
        found: all labels of the part: those that count from 1 are answered with the word to type.
        base: from which ids are counted.
        noun: what the task calls a label.
        of_head: the names are those of a model's config.json, and data.label_names can say what they mean.
    """
    message = f"the {noun} {name!r} is not one of the {len(names)} known"
    if base == 0 and {str(i) for i in range(1, len(names) + 1)} == set(found) - {None}:
        message = f"the {noun}s are 1 to {len(names)}, and the {len(names)} names are those of the ids from 0"
        return Problem(
            rows.where(row), message, f"type task.labels_from=1 where {names[0]!r} is the {noun} 1"
        )
    if of_head and (hint := _meaning(names, order_names({one for one in found if one is not None}))):
        return Problem("data.label_names", f"{rows.where(row)}: {message}", hint)
    if WHOLE_NUMBER.fullmatch(name):  # digits that look alike mean nothing
        return Problem(rows.where(row), message, "known are " + ", ".join(names[:40]))
    return Problem(rows.where(row), message, did_you_mean(name, names))


def _meaning(names: list[str], found: list[str]) -> str:
    """Returns the words that say what the labels of a model's head mean in the rows; '' where they say it themselves."""
    if (places := places_of(found, names)) is not None:
        own = dict(zip(places, found, strict=True))
        return f"type {shell_word('data.label_names', [own.get(i, name) for i, name in enumerate(names)])}"
    if not all(UNNAMED.fullmatch(name) for name in names):
        return ""
    if len(found) == len(names):
        meant = ", ".join(f"{a} means {b}" for a, b in list(zip(names, found, strict=True))[:6])
        return f"config.json does not say what the labels are: type {shell_word('data.label_names', found)} where {meant}, else in their order"
    named = ", ".join(found[:12]) + ", ..." * (len(found) > 12)
    return (
        f"config.json does not say what the labels are: type data.label_names=[NAME,...] with {len(names)} names, "
        f"that of {names[0]} first; the rows have {named}"
    )


def are_ids(found: Iterable[str | None], names: list[str], train: Rows, learned: bool) -> bool:
    """Returns whether the labels of training are ids without a source that says from which number it counts.

    Args:
        found: the labels as they stand there.
        names: of the labels, by id.
        train: the rows.
        learned: the names were not declared, only their number was.
    """
    if train.class_names:
        return False
    return (learned and names[0] in ("0", "1")) or not set(found) <= set(names)


def assumed_base(rows: Rows, column: str, names: list[str]) -> str:
    """Returns a line where the labels of rows to score are ids of which none is 0, so that they may count from 1; else ''.

    Args:
        rows: of a part that was not trained on.
        column: of the labels.
        names: of the labels, by id.
    """
    if rows.class_names or not names or any(WHOLE_NUMBER.fullmatch(name) for name in names):
        return ""
    found: set[str] = set()
    for value in rows.columns.get(column, []):
        listed = label_list(value, ",") if isinstance(value, str) and value[:1] in ("[", "(") else value
        found.update(str(one) for one in (listed if isinstance(listed, list) else [value]) if one is not None)
    ids = {whole[1] if (whole := WHOLE_FLOAT.fullmatch(name)) else name for name in found} - {""}
    if not ids or "0" in ids or not all(WHOLE_NUMBER.fullmatch(one) for one in ids):
        return ""
    return (
        f"the labels of {rows.origin} are read as ids from 0, and none is 0 ({names[0]}): type task.labels_from=1 where the file "
        "counts from 1, task.labels_from=0 where it does not"
    )


def best_reading(
    found: Iterable[str | None],
    names: list[str],
    class_names: list[str] | None,
    *,
    declared: bool,
    base: int,
    own_names: Sequence[str] | None,
) -> dict[str | None, int]:
    """Returns label as it stands in a part -> id, of the ways to read it the one that knows the most labels.

    Args:
        found: the labels of the part.
        names: of the labels, by id.
        class_names: names of the ids that the part's own source declares.
        declared: whether the names come from a config, a source or a finished run.
        base: the first id of a file that counts from it.
        own_names: data.label_names, by the ids of the rows.
    """
    counts = Counter(found)
    readings = _readings(names, class_names, declared, base, own_names)
    return max(readings, key=lambda reading: sum(count for name, count in counts.items() if name in reading))


def _readings(
    names: list[str],
    class_names: list[str] | None,
    declared: bool,
    base: int,
    own_names: Sequence[str] | None,
) -> list[dict[str | None, int]]:
    by_name: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    readings = [by_name]
    if class_names and (places := places_of(class_names, names)) is not None:
        readings.append({str(i): place for i, place in enumerate(places)})
    if own_names and (places := places_of(own_names, names)) is not None:
        readings.append({str(i + base): place for i, place in enumerate(places)})
    if declared and not any(WHOLE_NUMBER.fullmatch(name) for name in names):
        readings.append({str(i + base): i for i in range(len(names))})
        if len(names) == 2:
            readings.append({text: i for i, texts in enumerate(BOOLEANS) for text in texts})
    if {name.lower() for name in names} == {"false", "true"}:
        readings.append({f: i for i, name in enumerate(names) for f in BOOLEANS[name.lower() == "true"]})
    # 1.0 for 1, and the other way round.
    return readings + [{_other_number(name): i for name, i in reading.items()} for reading in readings]


def _other_number(name: str | None) -> str | None:
    if name is not None and WHOLE_NUMBER.fullmatch(name):
        return f"{name}.0"
    whole = WHOLE_FLOAT.fullmatch(name) if name is not None else None
    return whole[1] if whole else name
