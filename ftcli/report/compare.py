"""ftcli compare: from the names of runs to one object, printed as tables or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, Problem, RunDirError
from ftcli.report.collapse import collapse_of
from ftcli.report.row_diff import compare_pairs, read_saved
from ftcli.report.saved_rows import Predictions
from ftcli.report.summary import (
    Summary,
    as_mapping,
    as_number,
    best_checkpoint_bytes,
    bytes_on_disk,
    json_safe,
    peak_memory,
    read_summary,
)
from ftcli.report.tables import show_comparison
from ftcli.run.run_dir import RunDir

if TYPE_CHECKING:
    from ftcli.console.console import Screen


def compare(names: list[str], part: str, screen: Screen) -> dict[str, Any]:
    """Prints figures and costs of runs, the settings that differ, and what their predictions show.

    Args:
        names: the RUN arguments, two or more.
        part: `validation` or `test`, whose predictions are compared.
        screen: where the tables are printed.

    Returns:
        The same as one object, for JSON.

    Raises:
        ConfigError: fewer than two runs, or one run twice.
        RunDirError: a name matches no run, or a file of a run cannot be read.
    """
    summaries = _open(names)
    # A, B, ..., Z, AA, BB, ...: columns stay narrow, however long the names of runs are.
    letters = [chr(65 + place % 26) * (1 + place // 26) for place in range(len(summaries))]
    records = [
        {"letter": letter, **figures(summary)} for letter, summary in zip(letters, summaries, strict=True)
    ]
    settings = differing([summary.settings | summary.recorded() for summary in summaries])
    saved = read_saved(summaries, letters, part)
    for record, own in zip(records, saved, strict=True):
        record["collapsed"] = collapse_of(own) if isinstance(own, Predictions) else None
    pairs = compare_pairs(summaries, letters, part, saved)
    alike = rows_alike(summaries, letters)
    show_comparison(screen, records, settings, pairs, alike)
    return {"runs": records, "settings": settings, "pairs": pairs, "validation_rows_alike": alike}


def _open(names: list[str]) -> list[Summary]:
    """Reads every run first, so that all that cannot be read are reported at once."""
    if len(names) < 2:
        raise ConfigError(
            Problem("RUN", "one run has nothing to be compared with", "type two or more: ftcli runs")
        )
    problems: list[Problem] = []
    seen: dict[Path, str] = {}
    summaries = []
    for name in names:
        try:
            summaries.append(read_summary(RunDir.find(name)))
        except RunDirError as error:
            problems += error.problems
            continue
        path = summaries[-1].run.path.resolve()
        if path in seen:
            message = f"{name!r} and {seen[path]!r} are the same run"
            raise ConfigError(Problem("RUN", message, "type two different runs: ftcli runs"))
        seen[path] = name
    if problems:
        raise RunDirError(*problems)
    return summaries


def rows_alike(summaries: list[Summary], letters: list[str]) -> list[list[str]]:
    """Returns groups of letters: the runs of a group were scored on the same validation rows.

    Args:
        summaries: of the runs; one without a digest of its rows is left out.
        letters: of the runs, in the same order.
    """
    groups: dict[str, list[str]] = {}
    for summary, letter in zip(summaries, letters, strict=True):
        digest = as_mapping(as_mapping(summary.data.get("parts")).get("validation")).get("sha256")
        if isinstance(digest, str):
            groups.setdefault(digest, []).append(letter)
    return list(groups.values())


def figures(summary: Summary) -> dict[str, Any]:
    """Returns the figures of one run; None where its files do not have one."""
    result, run = summary.result, summary.run
    trainable = as_number(result.get("trainable_parameters", summary.plan.get("num_trainable_parameters")))
    total = as_number(result.get("total_parameters"))
    share = trainable / total if trainable is not None and total else summary.plan.get("trainable_share")
    return {
        "run": summary.name,
        "path": json_safe(str(run.path)),
        "recipe": summary.settings.get("recipe"),
        "state": summary.state,
        "steps": summary.steps(),
        "best_step": as_number(result.get("best_step")),
        "metrics": as_mapping(result.get("metrics")),
        "test": as_mapping(result.get("test")),
        "total_parameters": total,
        "trainable_parameters": trainable,
        "trainable_share": as_number(share),
        "rows_per_s": as_number(as_mapping(result.get("train")).get("rows_per_s")),
        "wall_seconds": summary.wall_seconds(),
        "peak_memory_bytes": peak_memory(run),
        "run_bytes": bytes_on_disk(run.path),
        "best_checkpoint_bytes": best_checkpoint_bytes(run),
        "collapsed": None,
    }


def differing(settings: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Returns dotted key -> the value of each run, for every key whose values are not all the same."""
    keys = dict.fromkeys(key for values in settings for key in values)
    rows = {key: [values.get(key) for values in settings] for key in keys}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values)}
