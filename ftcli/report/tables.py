"""Tables of runs: a listing has a line for each run, a comparison a column for each run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.console.units import size_text
from ftcli.report.summary import BROKEN, FINISHED, as_number
from ftcli.run.run_dir import ROOT

if TYPE_CHECKING:
    from ftcli.console.console import Screen

MISSING = "-"
COLLAPSED = "its figures are those of a constant, whatever they are"


def show_runs(screen: Screen, records: list[dict[str, Any]], root: Path | None) -> None:
    """Prints a line for each run, or what to type when there is none.

    Args:
        screen: where the table is printed.
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
            format_cell(record["recipe"]),
            format_cell(record["when"]),
            record["state"],
            _best(record),
            format_cell(record["steps"], "{:,}".format),
            format_cell(record["wall_seconds"], duration),
            format_cell(record["model"]),
            format_cell(record["data"]),
        )
        for record in records
    ]
    columns = ["run", "recipe", "when (UTC)", "state", "best", "steps", "wall time", "model", "data"]
    screen.table("runs, newest first", columns, rows, right=(5, 6))
    screen.notes(f"broken: {r['path']}: {r['problem']}" for r in records if r["state"] == BROKEN)
    screen.notes(
        f"collapsed: {r['run']}: {r['collapsed']}; {COLLAPSED}" for r in records if r.get("collapsed")
    )


def _best(record: dict[str, Any]) -> str:
    """Returns the cell of the best figure, with a mark where it is that of a constant."""
    if record["best"] is None:
        return MISSING
    figure = format_cell(record["best"], "{:.4f}".format)
    return f"{record['monitor']} {figure}{' (collapsed)' if record.get('collapsed') else ''}"


def duration(seconds: float) -> str:
    """Returns seconds as text: `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_cell(value: Any, form: Callable[[Any], str] = str) -> str:
    """Returns the text of a table cell.

    Args:
        value: text, such as NaN from `json_safe`, is printed as it is, None as `-`.
        form: formats a number.
    """
    if value is None:
        return MISSING
    return form(value) if as_number(value) is not None else str(value)


FIGURES: dict[str, tuple[str, Callable[[Any], str]]] = {
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
"""Key of `ftcli.report.compare.figures` -> its title in the table, and its format."""


def show_comparison(
    screen: Screen,
    records: list[dict[str, Any]],
    settings: dict[str, list[Any]],
    pairs: list[dict[str, Any]],
    alike: list[list[str]],
) -> None:
    """Prints figures, settings that differ, and a sentence for each pair.

    Args:
        screen: where they are printed.
        records: the runs.
        settings: key -> the value of each run.
        pairs: what `compare_pairs` returned.
        alike: groups of letters; the runs of a group were scored on the same validation rows.
    """
    screen.whole_lines()
    _show_figures(screen, records)
    if len(alike) > 1:
        groups = " | ".join(" and ".join(group) for group in alike)
        screen.note(f"not the same validation rows ({groups}): figures of different rows do not compare")
    screen.notes(f"{r['letter']} {r['collapsed']}: {COLLAPSED}" for r in records if r["collapsed"])
    _show_settings(screen, [record["letter"] for record in records], settings)
    _show_pairs(screen, pairs)
    screen.notes(
        f"{r['letter']} is {r['state']} at step {r['steps']}: its figures are not final"
        for r in records
        if r["state"] != FINISHED
    )


def _show_figures(screen: Screen, records: list[dict[str, Any]]) -> None:
    letters = [record["letter"] for record in records]
    rows = [[key, *(format_cell(r[key]) for r in records)] for key in ("run", "recipe", "state")]
    for key, part in (("metrics", "validation"), ("test", "test")):
        for name in dict.fromkeys(name for record in records for name in record[key]):
            values = (format_cell(r[key].get(name), "{:.4f}".format) for r in records)
            rows.append([f"{part} {name}", *values])
    rows += [[title, *(format_cell(r[key], form) for r in records)] for key, (title, form) in FIGURES.items()]
    screen.table("figures of the best checkpoints", ["", *letters], rows, right=range(1, len(letters) + 1))


def _show_settings(screen: Screen, letters: list[str], settings: dict[str, list[Any]]) -> None:
    if not settings:
        screen.note("no setting differs")
        return
    rows = [[key, *map(format_cell, values)] for key, values in settings.items()]
    screen.table("settings that differ", ["", *letters], rows, right=range(1, len(letters) + 1))


def _show_pairs(screen: Screen, pairs: list[dict[str, Any]]) -> None:
    part = pairs[0]["part"]
    screen.heading(f"{part}, row by row")
    screen.notes(pair["sentence"] for pair in pairs)
    if any(pair["compared"] for pair in pairs):
        # The test covers the sampling of rows, not that of seeds: training again gives other weights.
        chose = ", and these rows also chose the checkpoints" if part == "validation" else ""
        screen.note(
            f"This is about these checkpoints, not their settings: another seed is another run{chose}."
        )
