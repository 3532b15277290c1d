"""Rows of every task of texts with small changes of cells, rows and columns, as hands and spreadsheets leave them; seeded."""

from __future__ import annotations

import copy
import random
from typing import Any

import tiny_tasks

Row = dict[str, Any]
ODD_TEXTS = (
    "", " ", "\t", "\n", "\r\n", "a\nb", '"', '""', '"a', "'", "a,b", "a\tb", "\\", "\\n", "\\N", "\0", "\x1b[31m", "\x1a", "\x85", "\u2028", "\ufeff", "\u202e", "\u200b", "\U0001f600",
    "é", "e\u0301", "Ã©", "\ufffd", "NA", "N/A", "null", "None", "nan", "-", "#", "#REF!", "=1+1", "@x", "+1", "<unk>", "<s>", "</s> <pad>", "[MASK]", "the", "the " * 60,
    "x" * 3000, "x" * 140_000, "word-" * 200, "{", "[]", "{}", "[1,", "['a', 'b']", '["a"]', "a|b", "a;b", "a_b", "http://x.example/?a=1&b=2", "<b>x</b>", "[red]x[/]", "\udcff",
)  # fmt: skip
ODD_NUMBERS = (
    "0", "1", "2", "-1", "+1", "01", "1.0", "1.", ".5", "-0.0", "1e0", "1E+2", "1e400", "-1e400", "1e-400", "nan", "NaN", "inf", "-Infinity", "0x1", "1_000", "1,5", "1.000,5", "1 000",
    "1/2", "50%", "$3", "½", "١", "１", "²", "9" * 30, "9" * 400, "9" * 5000, "1" + "0" * 39, "1970-01-01", "12:30", "true", "TRUE", "yes", "B-", "I-good", "B-bad", "O ", "o", "positive ", "Positive", "POSITIVE",
    "pos\u0131tive", "positive,negative", "['positive']", "LABEL_0", "label",
)  # fmt: skip
ODD_VALUES = (
    None, True, False, 0, 1, -1, 2, 3.5, -0.0, 1e308, 1e-320, 2**31, 2**63, 2**70, 10**400, -(10**39), float("nan"), float("inf"), [], [[]], [None], {}, {"a": None}, ["a", "a"], [1, "a"],
)  # fmt: skip
ODD_NAMES = (
    "",
    " ",
    "Unnamed: 0",
    "a,b",
    "a=b",
    "[]",
    '"',
    "é",
    "\x1b[31m",
    "prediction",
    "line",
    "file",
    "x" * 300,
)


def rows_of(task: str, draw: random.Random, count: int) -> list[Row]:
    """Returns good rows of a task of texts."""
    return [tiny_tasks.TASKS[task](draw, number) for number in range(count)]


def edit(rows: list[Row], draw: random.Random) -> None:
    """Makes one small change of cells, rows or columns; rows without cells stay."""
    if rows and all(rows):
        draw.choice((_cell, _cell, _label, _label, _label, _row, _column))(rows, draw)


def _cell(rows: list[Row], draw: random.Random) -> None:
    """One to three cells are emptied, replaced or changed within."""
    for row in draw.sample(rows, min(len(rows), draw.choice((1, 1, 1, 3)))):
        key = draw.choice(list(row))
        row[key] = changed(row[key], draw)


def _label(rows: list[Row], draw: random.Random) -> None:
    """Some labels, or all, are another row's, another word, or a number in odd writing."""
    last = list(rows[0])[-1]
    kind, odd = draw.randrange(6), draw.choice((*ODD_NUMBERS, *ODD_VALUES))
    for row in rows if kind == 0 else draw.sample(rows, min(len(rows), draw.choice((1, 1, 2, 5)))):
        if kind < 3:
            row[last] = odd
        elif kind == 3:
            row[last] = copy.deepcopy(draw.choice(rows).get(last))
        elif kind == 4:
            row[last] = changed(row.get(last), draw)
        else:
            row[last] = draw.choice(ODD_NUMBERS)


def _row(rows: list[Row], draw: random.Random) -> None:
    """A row is doubled, with another label too, taken out, moved or emptied, or few are left."""
    number = draw.randrange(len(rows))
    match draw.randrange(6):
        case 0:
            rows.insert(draw.randrange(len(rows) + 1), copy.deepcopy(rows[number]))
        case 1:
            label = copy.deepcopy(list(rows[number - 1].values())[-1])
            rows.append({**copy.deepcopy(rows[number]), list(rows[0])[-1]: label})
        case 2:
            rows.insert(draw.randrange(len(rows)), rows.pop(number))
        case 3:
            rows[number] = {key: draw.choice((None, "")) for key in rows[number]}
        case 4:
            del rows[draw.choice((1, 1, 2, 5)) :]
        case _:
            del rows[number]


def _column(rows: list[Row], draw: random.Random) -> None:
    """A column is dropped, renamed, swapped with another, doubled, added, or is of another type in all rows."""
    keys = list(rows[0])
    key, other = draw.choice(keys), draw.choice(keys)
    name = draw.choice((key.upper(), f"{key} ", f"\ufeff{key}", f"{key}.1", f"{key}.x", other, *ODD_NAMES))
    kind, value = draw.randrange(7), draw.choice((*ODD_VALUES, *ODD_TEXTS[:20]))
    for row in rows:
        if kind == 0:
            row.pop(key, None)
        elif kind == 1:
            row.update({name if one == key else one: row.pop(one) for one in list(row)})
        elif kind == 2:
            row[key], row[other] = row.get(other), row.get(key)
        elif kind == 3:
            row[name] = copy.deepcopy(row.get(key))
        elif kind == 4:
            row[name] = value
        elif kind == 5:
            row[key] = str(row.get(key))
        else:
            row[key] = [row.get(key)]


def changed(value: Any, draw: random.Random) -> Any:
    """Returns a value with one place of it changed: a leaf of a list or an object, or the text itself."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        found, key = dict(value), draw.choice(list(value))
        kind = draw.randrange(5)
        if kind == 0:
            del found[key]
        elif kind == 1:
            found[key.upper()] = found.pop(key)
        else:
            found[key] = changed(value[key], draw)
        return found
    if isinstance(value, list) and value and draw.random() < 0.9:
        number = draw.randrange(len(value))
        return draw.choice((value[:number], value + value[number:], [*value[:number], changed(value[number], draw), *value[number + 1 :]]))  # fmt: skip
    if isinstance(value, str) and draw.random() < 0.6:
        place = draw.randrange(len(value) + 1)
        return draw.choice((value[:place] + draw.choice(ODD_TEXTS) + value[place:], value[:place], value.upper(), f"{value} ", f" {value}"))  # fmt: skip
    return draw.choice((*ODD_TEXTS, *ODD_NUMBERS, *ODD_VALUES))
