"""Hints to type: `key=value` as Hydra's grammar reads it back, in quotes for the shell where it needs them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ftcli.errors import typed_words

PLAIN = re.compile(r"(?!\.[0-9])[A-Za-z_./][A-Za-z0-9_./@-]*")
"""Values that need no quotes in Hydra's grammar, and none in the shell; `.1` would be a number."""
WORDS = ("true", "false", "null", "nan", "inf", "yes", "no", "on", "off")
"""Plain values that the grammar or YAML reads as something else than text."""


def shell_word(key: str, value: str | Sequence[str]) -> str:
    """Returns `key=value`, to be pasted into a shell.

    Args:
        key: dotted, such as `data.columns.text`.
        value: a text, or a list of them.
    """
    if isinstance(value, str):
        return typed_words(f"{key}={_grammatical(value)}")
    return typed_words(f"{key}=[{','.join(map(_grammatical, value))}]")


def _grammatical(value: str) -> str:
    """Returns the value as Hydra's grammar reads it back: quoted, unless it is a plain word."""
    if PLAIN.fullmatch(value) and value.casefold() not in WORDS:
        return value
    # Backslashes count only before a quote: there, each is doubled, and the quote gets one of its own.
    escaped = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', value)
    escaped = re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped)
    return f'"{escaped}"'
