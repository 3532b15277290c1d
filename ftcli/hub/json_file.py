"""JSON files of a model's folder, which anybody may have written: bounded in size and depth, and never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftcli.errors import Problem, SourceError

LARGEST_BYTES = 16 * 2**20
"""Of a config; published ones have some kilobytes, with 100,000 label names some megabytes."""
DEEPEST = 100
"""Levels of lists and objects; json's own reader runs into Python's recursion limit at about 1,000."""


def read_object(file: Path, key: str) -> dict[str, Any]:
    """Returns the JSON object in a file.

    Args:
        file: UTF-8 JSON.
        key: the setting that led here, for messages.

    Raises:
        SourceError: it cannot be read, is larger or deeper than any config, or is no object.
    """
    try:
        if file.stat().st_size > LARGEST_BYTES:
            message = f"{file} has {file.stat().st_size:,} bytes; expected at most {LARGEST_BYTES:,}"
            raise SourceError(Problem(key, message))
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise SourceError(Problem(key, f"{file} is nested deeper than {DEEPEST} levels")) from error
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(Problem(key, f"{file} cannot be read: {error.strerror}")) from error
    except ValueError as error:
        raise SourceError(Problem(key, f"{file} is not JSON: {error}")) from error
    if not isinstance(values, dict):
        raise SourceError(Problem(key, f"{file} is not a JSON object"))
    if not _shallow(values):
        raise SourceError(Problem(key, f"{file} is nested deeper than {DEEPEST} levels"))
    return values


def _shallow(values: Any) -> bool:
    """Says whether lists and objects are at most DEEPEST levels deep; by levels, so that no depth overflows a stack."""
    level = [values]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False
