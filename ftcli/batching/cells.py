"""Lists and objects that a cell of a csv or tsv holds as text: JSON, Python's way of writing, numpy's."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from typing import Any

LONGEST = 1_000_000
"""Characters of the longest cell that is read as anything but text."""
_SCALAR = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?|True|False|None"""
_SPACED = re.compile(rf"({_SCALAR}|\])(?:(\s+)(?={_SCALAR}|\[))?", re.DOTALL)
"""An item, and the white space to the next one where nothing else separates them; a quoted text is consumed whole."""


TWICE = "leave one of them: files with both are read in two ways by different programs"
"""What to do where an object names a key twice."""


class TwiceError(ValueError):
    """An object names a key twice: of its two values, none is known to be the right one."""


def unique_object(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Returns an object whose keys are all different.

    Args:
        pairs: (key, value), as they stand in the text.

    Raises:
        TwiceError: a key is named twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        key, count = Counter(key for key, _ in pairs).most_common(1)[0]
        values = " and ".join(f"{value!r:.60}" for name, value in pairs if name == key)
        raise TwiceError(f"an object names the key {key!r} {count} times, with {values:.200}")
    return found


def structure_in(text: str) -> list[Any] | dict[str, Any] | None:
    """Returns the list or object that a text is; None where it is neither.

    Read are JSON (`["a", "b"]`), Python (`['a', 'b']`, `('a', 'b')`, `{'a', 'b'}`) and numpy (`['a' 'b']`, `[0. 1.]`).

    Args:
        text: of a cell.

    Raises:
        TwiceError: an object in it names a key twice.
    """
    text = text.strip()
    if (
        len(text) < 2
        or len(text) > LONGEST
        or (text[0], text[-1]) not in (("[", "]"), ("{", "}"), ("(", ")"))
    ):
        return None
    try:
        found = json.loads(text, object_pairs_hook=unique_object)
    except TwiceError:
        raise
    except (ValueError, RecursionError):
        found = _literal(text)
    if isinstance(found, set):
        return sorted(found, key=str)
    if isinstance(found, tuple):
        return list(found)
    return found if isinstance(found, list | dict) else None


def _literal(text: str) -> Any:
    """Returns what Python's own notation of constants says; nothing is executed."""
    # Python would join 'a' 'b' to one text; numpy means two.
    separated = _SPACED.sub(lambda found: found[1] + (", " if found[2] else ""), text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes and missing commas: this is a text, not our code
            tree = ast.parse(separated, mode="eval")
            _require_unique(tree)
            return ast.literal_eval(tree)
    except TwiceError:
        raise
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _require_unique(tree: ast.AST) -> None:
    """Raises TwiceError where an object in a constant names a key twice."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [None if key is None else ast.literal_eval(key) for key in node.keys]
            if len(set(keys)) < len(keys):
                unique_object(list(zip(keys, map(ast.unparse, node.values), strict=True)))


def _list_in(text: str) -> list[Any] | None:
    """Returns the list that a text is; one with objects that name a key twice is no list of names."""
    try:
        found = structure_in(text)
    except TwiceError:
        return None
    return found if isinstance(found, list) else None


def quoted_list(value: Any) -> Any:
    """Returns the list of texts that a cell holds as text, such as `['a', 'b']`; any other value as it is.

    Args:
        value: of a cell.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "(")):
        return value
    found = _list_in(value)
    quoted = found and all(isinstance(one, str) for one in found)
    return found if quoted else value


def label_list(value: str, separator: str) -> list[Any] | None:
    """Returns the list that a label cell in brackets is, quotes or not; None for any other text.

    Args:
        value: of a cell.
        separator: between the names where they have no quotes, as in `[a, b]`.
    """
    found = _list_in(value)
    if found is not None:
        return found
    inner = value.strip()
    if not (inner.startswith("[") and inner.endswith("]")) or re.search(r"[\[\](){}'\"]", inner[1:-1]):
        return None
    names = inner[1:-1].split(separator) if separator in inner else inner[1:-1].split()
    return [name.strip() for name in names if name.strip()]
