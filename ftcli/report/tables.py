"""Tables of runs: one line a run in a listing, one column a run in a comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.console.units import size_text
from ftcli.report.summary import BROKEN, FINISHED, number
from ftcli.run.run_dir import ROOT

if TYPE_CHECKING:
    from ftcli.console.console import Screen

NOTHING = "-"


def show_runs(screen: Screen, records: list[dict[str, Any]], root: Path | None) -> None:
    """Prints a line a run, or what to type when there is none.

    Args:
        screen: where it goes.
        records: what `list_runs` returned.
        root: the folder that was named, None for ./runs.
    """
    if not records:
        screen.note(f"no runs under {ROOT if root is None else root}/: type ftcli train")
        return
    screen.whole_lines()
    rows = [
        (
            record["run"],
            cell(record["recipe"]),
            cell(record["when"]),
            record["state"],
            NOTHING
            if record["best"] is None
            else f"{record['monitor']} {cell(record['best'], '{:.4f}'.format)}",
            cell(record["steps"], "{:,}".format),
            cell(record["wall_seconds"], duration),
            cell(record["model"]),
            cell(record["data"]),
        )
        for record in records
    ]
    columns = ["run", "recipe", "when (UTC)", "state", "best", "steps", "wall time", "model", "data"]
    screen.table("runs, newest first", columns, rows, right=(5, 6))
    screen.notes(f"broken: {r['path']}: {r['problem']}" for r in records if r["state"] == BROKEN)


def duration(seconds: float) -> str:
    """Returns seconds for reading: `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def cell(value: Any, form: Callable[[Any], str] = str) -> str:
    """Returns a value of a table; text such as NaN, and what is not there, take no format."""
    if value is None:
        return NOTHING
    return form(value) if number(value) is not None else str(value)


ROWS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "total_parameters": ("parameters", "{:,}".format),
    "trainable_parameters": ("parameters that train", "{:,}".format),
    "trainable_share": ("share that trains", lambda share: f"{100 * share:.3g}%"),
    "best_step": ("best step", "{:,}".format),
    "steps": ("steps", "{:,}".format),
    "rows_per_s": ("training, rows/s", "{:,.0f}".format),
    "wall_seconds": ("wall time", duration),
    "peak_memory_bytes": ("peak memory", size_text),
    "run_bytes": ("run directory", size_text),
    "best_checkpoint_bytes": ("best checkpoint", size_text),
}
"""Key of `figures` -> its line in the table."""


def show_comparison(
    screen: Screen,
    records: list[dict[str, Any]],
    settings: dict[str, list[Any]],
    pairs: list[dict[str, Any]],
    alike: list[list[str]],
) -> None:
    """Prints figures, settings that differ, and a sentence a pair.

    Args:
        screen: where they go.
        records: the runs.
        settings: key -> a value a run.
        pairs: what `compare_pairs` returned.
        alike: letters of the runs, those together that were scored on the same validation rows.
    """
    screen.whole_lines()
    letters = [record["letter"] for record in records]
    columns = range(1, len(letters) + 1)
    rows: list[list[str]] = [[key, *(cell(r[key]) for r in records)] for key in ("run", "recipe", "state")]
    for key, part in (("metrics", "validation"), ("test", "test")):
        for name in dict.fromkeys(name for record in records for name in record[key]):
            rows.append([f"{part} {name}", *(cell(r[key].get(name), "{:.4f}".format) for r in records)])
    rows += [[title, *(cell(r[key], form) for r in records)] for key, (title, form) in ROWS.items()]
    screen.table("figures of the best checkpoints", ["", *letters], rows, right=columns)
    if len(alike) > 1:
        groups = " | ".join(" and ".join(group) for group in alike)
        screen.note(f"not the same validation rows ({groups}): figures of different rows do not compare")
    differences = [[key, *map(cell, values)] for key, values in settings.items()]
    if differences:
        screen.table("settings that differ", ["", *letters], differences, right=columns)
    else:
        screen.note("no setting differs")
    screen.heading(f"{pairs[0]['part']}, row by row")
    screen.notes(pair["sentence"] for pair in pairs)
    if any(pair["compared"] for pair in pairs):
        chose = ", and these rows also chose the checkpoints" if pairs[0]["part"] == "validation" else ""
        screen.note(
            f"This is about these checkpoints, not their settings: another seed is another run{chose}."
        )
    screen.notes(f"{r['letter']} is {r['state']} at step {r['steps']}: its figures are not final"
                 for r in records if r["state"] != FINISHED)  # fmt: skip
