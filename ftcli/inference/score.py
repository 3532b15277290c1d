"""What evaluate and predict do with a trained model: score a part, or add predictions to a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.batching.cache import cached_table
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.inference.error_analysis import (
    confusion,
    draw_confusion,
    show_confusion,
    show_errors,
    worst_errors,
)
from ftcli.inference.row_writer import RowWriter, format_of, opened

if TYPE_CHECKING:

    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.console.console import Screen
    from ftcli.inference.load import LoadedModel
    from ftcli.trainer.evaluation import Scores

CHUNK_ROWS = 4096


def evaluate_part(
    loaded: LoadedModel, part: str, screen: Screen, *, mistakes: int = 5, picture: Path | None = None
) -> dict[str, Any]:
    """Returns the metrics of one labelled part and its worst mistakes, and prints both.

    Args:
        loaded: the model.
        part: `validation`, `test` or `train`.
        screen: where tables go.
        mistakes: how many of the worst mistakes are listed.
        picture: PNG or SVG of the confusion matrix.

    Raises:
        DataError: the part does not exist or has no labels.
        ConfigError: a picture of a task without classes.
    """
    inputs = loaded.inputs
    task = inputs.task
    screen.notes(inputs.decisions)
    rows = getattr(inputs.splits, part)
    if rows is None:
        raise DataError(Problem("--split", f"there is no {part} part", f"type data.files.{part}=FILE"))
    table, scores = score_part(loaded, part)
    if scores is None:
        raise DataError(
            Problem("--split", f"the {part} part has no labels", "ftcli predict writes predictions for it")
        )
    assert scores.records is not None
    counts = confusion(
        task, [task.prediction_row(r, table, rows, i) for i, r in enumerate(scores.records)], inputs.labels
    )
    if picture is not None:
        if counts is None:
            raise ConfigError(
                Problem(
                    "--output", f"task={loaded.composed.config.choices['task']} has no confusion matrix"
                )
            )
        draw_confusion(counts, inputs.labels, picture)
    worst = worst_errors(task, table, rows, scores.records, mistakes)
    figures = [(name, f"{value:.4f}") for name, value in scores.figures.items()]
    screen.table(f"{part} of {loaded.origin}", ["", ""], [*figures, ("rows", len(table))])
    show_confusion(screen, counts, inputs.labels)
    show_errors(screen, worst, task.error_name)
    return {"metrics": scores.figures, "part": part, "rows": len(table), "data": rows.origin,
            "model": loaded.origin, "labels": inputs.labels, "mistakes": worst, "error": task.error_name,
            "confusion": None if counts is None else counts.tolist()}  # fmt: skip


def score_part(loaded: LoadedModel, part: str) -> tuple[TokenTable, Scores | None]:
    """Returns a part's rows as tokens and, where they have labels, the scores with every row's prediction."""
    inputs = loaded.inputs
    table, _ = cached_table(getattr(inputs.splits, part), inputs.tokenizer, inputs.task, inputs.labels)
    return table, None if table.labels is None else loaded.evaluator.score(loaded.model, table, keep=True)




def predict_file(loaded: LoadedModel, source: str, target: str) -> int:
    """Writes every row of `source` with its prediction to `target`, piece by piece; returns how many.

    Raises:
        DataError: the input lacks a column the task reads, or a value does not fit the output's format.
        RunDirError: the output cannot be written.
    """
    suffix = format_of(target, "--output")
    found = read_pieces(source, [loaded])
    first = next(found)
    refuse_same(source, target)
    task, count = loaded.inputs.task, 0
    with opened(target) as file:
        writer = RowWriter(file, suffix, first, task.added_columns())
        for piece in chain([first], found):
            table = task.encode(piece, loaded.inputs.tokenizer, labelled=False)
            records = loaded.evaluator.predict(loaded.model, table)
            writer.write(piece, [task.added_cells(r, table, piece, row) for row, r in enumerate(records)])
            count += len(piece)
    return count


def refuse_same(source: str, target: str) -> None:
    """Raises ConfigError where the output is the input."""
    if target != "-" and Path(target).exists() and source != "-" and Path(target).samefile(source):
        raise ConfigError(Problem("--output", "is the input file", "write to another file"))






def read_pieces(source: str, models: Sequence[LoadedModel]) -> Iterator[Rows]:
    """Yields the input's rows, a piece at a time, without labels: those of new rows mean nothing.

    Args:
        source: a file, or `-` for jsonl from stdin.
        models: the columns that any of them reads must be there; the format is that of the first.
    """
    from ftcli.data.checks import check_columns, check_texts
    from ftcli.data.streaming import pieces
    from ftcli.data.text import as_rows

    wanted = (field for model in models for field in model.inputs.task.fields() if not field.is_label)
    fields = list(dict.fromkeys(wanted))
    chosen = models[0].composed.config.data
    suffix = chosen.format.suffix if hasattr(chosen, "format") else None
    for content in pieces(source, "--input", suffix):
        rows = as_rows(content, "stdin" if source == "-" else source, fields)
        check_columns(rows, fields, needs_label=False)
        check_texts(rows, fields)
        yield rows
