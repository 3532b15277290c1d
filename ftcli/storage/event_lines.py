"""The lines of metrics.jsonl: strict JSON, cut where a checkpoint ends, repaired where they were damaged."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftcli.storage.disk import explained
from ftcli.storage.plain_file import open_plain, open_to_append
from ftcli.storage.temporary import stage_of

LOST = "lost"
"""Event that stands for `events` events which were lost to damage."""
MAX_BYTES = 2**31
"""Of a metrics.jsonl; ten million events have less."""
LONGEST_LINE = 2**24
"""Bytes; what is longer is no line of ours."""


def bounded_lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file that may be anybody's; none where it cannot be read or is larger than a log of events.

    What is longer than LONGEST_LINE comes in pieces, which are no JSON.
    """
    try:
        with os.fdopen(open_plain(path, max_bytes=MAX_BYTES), "rb") as file:
            while line := file.readline(LONGEST_LINE):
                yield line
    except OSError:
        return


def cut_after(path: Path, keep: int) -> None:
    """Cuts a file after its first `keep` lines: what came later, or was torn by a kill, happens again."""
    number = end = 0
    with path.open("rb") as file:
        while number < keep and (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
            number, end = number + _num_events(line), file.tell()
    descriptor = open_to_append(path)
    try:
        os.ftruncate(descriptor, end)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def repair(path: Path, known: int) -> list[str]:
    """Puts a `lost` event in the place of what is damaged or missing of the events that a checkpoint knew of.

    The lines that a later resume keeps are counted, so that none may be missing. The lines of a sound file stay as they are.

    Args:
        path: metrics.jsonl, which need not be there.
        known: events that the checkpoint knew of.

    Returns:
        A line that says how many were lost; none where all are there.

    Raises:
        RunDirError: the file cannot be written.
    """
    with explained(path):
        found = _sound_lines(path, known)
        lost = known - sum(_num_events(line) for line in found if line is not None)
        if lost <= 0:
            return []
        gap = json.dumps({"event": LOST, "events": lost}).encode() + b"\n"
        place = found.index(None) if None in found else len(found)
        lines = (
            [line for line in found[:place] if line is not None]
            + [gap]
            + [line for line in found[place:] if line is not None]
        )
        _replace(path, lines)
    return [f"{path} is damaged: {lost} of {known} events are lost; the run goes on as if they were there"]


def _sound_lines(path: Path, known: int) -> list[bytes | None]:
    """Returns the lines of the first `known` events; None for one that is no JSON object."""
    found: list[bytes | None] = []
    number = 0
    if path.exists():
        with path.open("rb") as file:
            while number < known and (line := file.readline(LONGEST_LINE)):
                found.append(line if line.endswith(b"\n") and _is_event(line) else None)
                number += _num_events(line) if found[-1] is not None else 1
    return found


def _replace(path: Path, lines: list[bytes]) -> None:
    """Writes the lines in the place of a file that may not be readable as text."""
    temporary = stage_of(path)
    try:
        temporary.write_bytes(b"".join(lines))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_event(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _num_events(line: bytes) -> int:
    """Returns how many events a line stands for: 1, but for the line of those that were lost."""
    if b'"lost"' not in line:
        return 1
    try:
        event = json.loads(line)
        lost = event["events"] if event["event"] == LOST else 1
        return max(int(lost), 1)
    except (ValueError, RecursionError, LookupError, TypeError, OverflowError):
        return 1


def strict(value: Any) -> Any:
    """Returns a value without non-finite numbers, which JSON lacks: they become the strings NaN, Infinity and -Infinity."""
    if isinstance(value, dict):
        return {key: strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [strict(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
