"""Scores one part of a trained model's rows: figures, worst errors and the confusion matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.batching.aligned import aligned
from ftcli.batching.cache import cached_table
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.inference.error_analysis import (
    confusion,
    show_confusion,
    show_errors,
    worst_errors,
)
from ftcli.inference.output_file import drawing
from ftcli.report.plots import draw_confusion
from ftcli.task.label_ids import assumed_base

if TYPE_CHECKING:
    import numpy as np

    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.console.console import Screen
    from ftcli.inference.load import LoadedModel
    from ftcli.trainer.evaluation import Scores


def evaluate_part(
    loaded: LoadedModel, part: str, screen: Screen, *, num_errors: int, picture: Path | None = None
) -> dict[str, Any]:
    """Scores one labelled part, prints the figures and the worst errors, and returns both.

    Args:
        loaded: the model.
        part: `validation`, `test` or `train`.
        screen: where tables are printed.
        num_errors: how many of the worst errors are listed.
        picture: PNG or SVG of the confusion matrix.

    Raises:
        DataError: the part does not exist or has no labels.
        ConfigError: a picture of a task without a confusion matrix.
    """
    inputs, task = loaded.inputs, loaded.inputs.task
    screen.notes(inputs.decisions)
    rows = _require_part(loaded, part)
    table, scores = score_part(loaded, part)
    if scores is None or scores.records is None:
        raise DataError(_without_labels(part))
    rows = aligned(rows, table)
    lines = [task.prediction_row(record, table, rows, row) for row, record in enumerate(scores.records)]
    counts = confusion(task, lines, inputs.labels)
    if picture is not None:
        _draw(loaded, counts, picture)
    worst = worst_errors(task, table, rows, scores.records, num_errors)
    _show_figures(screen, f"{part} of {loaded.origin}", scores.figures, rows)
    if task.label_counts(table) is not None and task.config.labels_from is None:
        screen.notes(filter(None, [assumed_base(rows, task.columns.label, inputs.labels)]))
    if scores.collapsed:
        screen.note(scores.collapsed)
    show_confusion(screen, counts, inputs.labels)
    show_errors(screen, worst, task.error_name)
    return {
        "metrics": scores.figures,
        "collapsed": scores.collapsed,
        "part": part,
        "rows": len(table),
        "data": rows.origin,
        "model": loaded.origin,
        "labels": inputs.labels,
        "mistakes": worst,
        "error": task.error_name,
        "confusion": None if counts is None else counts.tolist(),
    }


def _require_part(loaded: LoadedModel, part: str) -> Rows:
    rows: Rows | None = getattr(loaded.inputs.splits, part)
    if rows is None:
        raise DataError(Problem("--split", f"there is no {part} part", f"type data.files.{part}=FILE"))
    return rows


def _without_labels(part: str) -> Problem:
    return Problem("--split", f"the {part} part has no labels", "ftcli predict writes predictions for it")


def _show_figures(screen: Screen, title: str, figures: dict[str, float], rows: Rows) -> None:
    lines = [(name, f"{value:.4f}") for name, value in figures.items()]
    screen.table(title, ["", ""], [*lines, ("rows", len(rows)), ("data", rows.origin)])


def _draw(loaded: LoadedModel, counts: np.ndarray | None, picture: Path) -> None:
    """Draws the confusion matrix, counts (num_labels, num_labels)."""
    if counts is None:
        message = f"task={loaded.composed.config.choices['task']} has no confusion matrix"
        raise ConfigError(Problem("--output", message))
    with drawing(picture):
        draw_confusion(counts, loaded.inputs.labels, picture)


def score_part(loaded: LoadedModel, part: str) -> tuple[TokenTable, Scores | None]:
    """Returns a part's rows as tokens and, where they have labels, the scores with every row's prediction.

    Args:
        loaded: the model, with rows.
        part: `validation`, `test` or `train`; it exists.
    """
    inputs = loaded.inputs
    table, _ = cached_table(getattr(inputs.splits, part), inputs.tokenizer, inputs.task, inputs.labels)
    return table, None if table.labels is None else loaded.evaluator.score(loaded.model, table, keep=True)
