"""ftcli compare, from the names of runs to what is known of them: one object, printed as tables or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, Problem, RunDirError
from ftcli.report.row_diff import compare_pairs
from ftcli.report.summary import (
    Summary,
    best_checkpoint_bytes,
    bytes_on_disk,
    mapping,
    number,
    peak_memory,
    plain,
    read_summary,
)
from ftcli.report.tables import show_comparison
from ftcli.run.run_dir import RunDir

if TYPE_CHECKING:
    from ftcli.console.console import Screen


def compare(names: list[str], part: str, screen: Screen) -> dict[str, Any]:
    """Prints what runs have reached, what it cost, how they differ, and what their predictions show.

    Args:
        names: RUN as typed, two or more.
        part: `validation` or `test`, whose predictions are compared.
        screen: where the tables go.

    Raises:
        ConfigError: fewer than two runs, or one run twice.
        RunDirError: a name fits no run, or a file of a run cannot be read.
    """
    summaries = _open(names)
    letters = [chr(65 + place % 26) * (1 + place // 26) for place in range(len(summaries))]
    records = [
        {"letter": letter, **figures(summary)} for letter, summary in zip(letters, summaries, strict=True)
    ]
    settings = differing([summary.settings | summary.recorded() for summary in summaries])
    pairs = compare_pairs(summaries, letters, part)
    alike = rows_alike(summaries, letters)
    show_comparison(screen, records, settings, pairs, alike)
    return {"runs": records, "settings": settings, "pairs": pairs, "validation_rows_alike": alike}


def _open(names: list[str]) -> list[Summary]:
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
    """Returns the runs' letters, those together whose validation rows are the same; a run that does not say is left out."""
    groups: dict[str, list[str]] = {}
    for summary, letter in zip(summaries, letters, strict=True):
        digest = mapping(mapping(summary.data.get("parts")).get("validation")).get("sha256")
        if isinstance(digest, str):
            groups.setdefault(digest, []).append(letter)
    return list(groups.values())


def figures(summary: Summary) -> dict[str, Any]:
    """Returns the figures of one run; None where its files do not say."""
    result, run = summary.result, summary.run
    trainable = number(result.get("trainable_parameters", summary.plan.get("num_trainable_parameters")))
    total = number(result.get("total_parameters"))
    share = trainable / total if trainable is not None and total else summary.plan.get("trainable_share")
    return {
        "run": summary.name,
        "path": plain(str(run.path)),
        "recipe": summary.settings.get("recipe"),
        "state": summary.state,
        "steps": summary.steps(),
        "best_step": number(result.get("best_step")),
        "metrics": mapping(result.get("metrics")),
        "test": mapping(result.get("test")),
        "total_parameters": total,
        "trainable_parameters": trainable,
        "trainable_share": number(share),
        "rows_per_s": number(mapping(result.get("train")).get("rows_per_s")),
        "wall_seconds": summary.wall_seconds(),
        "peak_memory_bytes": peak_memory(run),
        "run_bytes": bytes_on_disk(run.path),
        "best_checkpoint_bytes": best_checkpoint_bytes(run),
    }


def differing(settings: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Returns dotted key -> a value a run, for every key whose values are not all the same."""
    keys = dict.fromkeys(key for values in settings for key in values)
    rows = {key: [values.get(key) for values in settings] for key in keys}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values)}
