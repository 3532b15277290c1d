"""The profile of a session on the screen and in its run directory: profile.json, table.md and trace.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.runtime.timers import STEP, RunningClock, Section
from ftcli.runtime.trace import TRACE
from ftcli.storage.atomic import write_atomic

if TYPE_CHECKING:
    from ftcli.console.console import Screen

FOLDER = "profile"
PARTS_TITLE = "where the time went, from the start of the process"
PARTS_COLUMNS = ["part", "seconds", "share", "a step"]


def report(clock: RunningClock, folder: Path, screen: Screen) -> dict[str, Any]:
    """Writes profile.json and table.md, prints the tables, and returns what profile.json holds.

    Raises:
        RunDirError: a file cannot be written.
    """
    values = profile_of(clock)
    write_atomic(folder / "profile.json", json.dumps(values, indent=2) + "\n")
    parts, (columns, operators) = part_rows(values), operator_table(values)
    title = _operators_title(values)
    text = [f"# {PARTS_TITLE.capitalize()}", "", *_markdown(PARTS_COLUMNS, parts)]
    if operators:
        text += ["", f"# {title.capitalize()}", "", *_markdown(columns, operators)]
    write_atomic(folder / "table.md", "\n".join(text) + "\n")
    screen.table(PARTS_TITLE, PARTS_COLUMNS, parts, right=(1, 2, 3))
    if operators:
        screen.table(title, columns, operators, right=range(1, len(columns)))
    opened = f"open {TRACE} in https://ui.perfetto.dev or chrome://tracing"
    screen.note(f"profile: {folder} ({opened if values['trace'] else 'no trace'})")
    return values


def require_trace(clock: RunningClock) -> None:
    """Raises RunDirError where the trace could not be written; all else is done by then."""
    if clock.window is not None and clock.window.error is not None:
        raise clock.window.error


def profile_of(clock: RunningClock) -> dict[str, Any]:
    """Returns the profile as JSON values; seconds of `parts` add up to `wall_seconds`."""
    seconds, window = clock.read(), clock.window
    wall = sum(seconds.values())
    found = window.operators if window is not None else []
    return {
        "version": 1,
        "wall_seconds": wall,
        "steps": clock.steps,
        "parts": [
            {
                "part": part.value,
                "seconds": seconds[part],
                "share": seconds[part] / wall,
                "seconds_per_step": seconds[part] / clock.steps if part in STEP and clock.steps else None,
                "calls": clock.calls[part],
            }
            for part in Section
        ],
        "trace": None
        if window is None or window.steps is None
        else {"file": TRACE, "first_step": window.steps[0], "last_step": window.steps[1]},
        "operators": [
            {"operator": o.name, "calls": o.calls, "cpu_seconds": o.cpu_seconds, "gpu_seconds": o.device_seconds}
            for o in found
        ],
    }  # fmt: skip


def part_rows(values: dict[str, Any]) -> list[list[str]]:
    """Returns the table's rows: parts that took time, the steps' own indented below their sum, then the total."""
    rows, steps, wall = [], values["steps"], values["wall_seconds"]
    inner = {part.value for part in STEP}
    training = sum(one["seconds"] for one in values["parts"] if one["part"] in inner)
    for one in values["parts"]:
        if one["part"] == STEP[0].value and steps:
            rows.append(_row(f"training, {steps:,} steps", training, wall, training / steps))
        if one["seconds"] >= 0.0005:
            indent = "- " if one["part"] in inner else ""
            rows.append(_row(indent + one["part"], one["seconds"], wall, one["seconds_per_step"]))
    return [*rows, _row("all", wall, wall, None)]


def operator_table(values: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns columns and a row an operator, the most expensive first; GPU time where there is any."""
    found = values["operators"]
    kinds = {"own CPU": "cpu_seconds"}
    if any(one["gpu_seconds"] for one in found):
        kinds = {"own GPU": "gpu_seconds", **kinds}
    rows = [[o["operator"], *(_milliseconds(o[k]) for k in kinds.values()), f"{o['calls']:,}"] for o in found]
    return ["operator", *kinds, "calls"], rows


def _row(name: str, seconds: float, wall: float, per_step: float | None) -> list[str]:
    return [
        name,
        f"{seconds:.2f}",
        f"{seconds / wall:.1%}",
        "" if per_step is None else _milliseconds(per_step),
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds else ""


def _operators_title(values: dict[str, Any]) -> str:
    trace = values["trace"]
    return (
        f"operators of steps {trace['first_step']} to {trace['last_step']} of this command, summed"
        if trace
        else "operators"
    )


def _markdown(columns: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
