"""`ftcli predict`: predictions of one model or several, added to the rows of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, Problem
from ftcli.inference.load import open_predictor, open_predictors
from ftcli.inference.row_writer import RowWriter, format_of, opened, refuse_existing
from ftcli.model.shared import sharing_line

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows
    from ftcli.console.console import Screen
    from ftcli.inference.load import LoadedModel


def predict(
    specs: list[str],
    overrides: list[str],
    screen: Screen,
    *,
    source: str,
    target: str,
    force: bool,
    checkpoint: str,
) -> int:
    """Opens one model or several and writes every row of a file with their predictions.

    Args:
        specs: runs, Hugging Face folders or hub ids.
        overrides: other metrics or hardware; for a folder or hub id also the task.
        screen: where one line says what was done.
        source: a file, or `-` for jsonl from stdin.
        target: a file, or `-` for jsonl to stdout.
        force: an existing target is replaced.
        checkpoint: `best`, `last` or a name.

    Returns:
        How many rows were written.

    Raises:
        ConfigError: an override that would change the model, or a target that is the source or exists.
        DataError: the source lacks a column that a task reads, or a value does not fit the target's format.
        RunDirError: a run cannot be found or read, or the target cannot be written.
    """
    _refuse_same(source, target)
    refuse_existing(target, "--output", force=force)
    if len(specs) == 1:
        loaded = open_predictor(specs[0], checkpoint, overrides, with_rows=False)
        count = predict_file({loaded.origin: loaded}, source, target)
        screen.note(f"{count} rows predicted by {loaded.origin}")
        return count
    models, shared = open_predictors(specs, checkpoint, overrides, with_rows=False)
    count = predict_file(models, source, target)
    screen.note(f"{count} rows predicted by {', '.join(models)}; {sharing_line(shared)}")
    return count


def predict_file(models: dict[str, LoadedModel], source: str, target: str) -> int:
    """Writes every row of `source` with every model's columns to `target`, a few thousand rows at a time.

    Args:
        models: name -> model; with several of them the names are put before the columns, as in `NAME.prediction`.
        source: a file, or `-` for jsonl from stdin.
        target: a file, or `-` for jsonl to stdout.

    Returns:
        How many rows were written.

    Raises:
        DataError: the source lacks a column that a task reads, or a value does not fit the target's format.
        RunDirError: the target cannot be written.
    """
    suffix = format_of(target, "--output")
    chunks = _read_chunks(source, list(models.values()))
    # The first rows are read before the target is opened, so that a wrong source leaves no file behind.
    first = next(chunks)
    _refuse_same(source, target)
    count = 0
    with opened(target) as file:
        writer = RowWriter(file, suffix, first, _added_columns(models))
        for rows in chain([first], chunks):
            cells = [_added_cells(model, rows) for model in models.values()]
            writer.write(rows, [list(chain(*row)) for row in zip(*cells, strict=True)])
            count += len(rows)
    return count


def _added_columns(models: dict[str, LoadedModel]) -> list[str]:
    prefix = "{name}." if len(models) > 1 else ""
    return [
        prefix.format(name=name) + column
        for name, model in models.items()
        for column in model.inputs.task.added_columns()
    ]


def _added_cells(model: LoadedModel, rows: Rows) -> list[list[Any]]:
    """Returns the cells that one model adds to each row."""
    task = model.inputs.task
    table = task.encode(rows, model.inputs.tokenizer, labelled=False)
    records = model.evaluator.predict(model.model, table)
    return [task.added_cells(record, table, rows, row) for row, record in enumerate(records)]


def _refuse_same(source: str, target: str) -> None:
    """Raises ConfigError where the output is the input."""
    if target != "-" and Path(target).exists() and source != "-" and Path(target).samefile(source):
        raise ConfigError(Problem("--output", "is the input file", "write to another file"))


def _read_chunks(source: str, models: Sequence[LoadedModel]) -> Iterator[Rows]:
    """Yields the input's rows, a few thousand at a time, without labels: new rows have none that mean anything.

    Args:
        source: a file, or `-` for jsonl from stdin.
        models: the columns that any of them reads must be there; the format is that of the first.
    """
    from ftcli.data.checks import check_columns, check_texts
    from ftcli.data.streaming import pieces
    from ftcli.data.text import as_rows

    wanted = (field for model in models for field in model.inputs.task.fields() if not field.is_label)
    fields = list(dict.fromkeys(wanted))
    data = models[0].composed.config.data
    suffix = data.format.suffix if hasattr(data, "format") else None
    for content in pieces(source, "--input", suffix):
        rows = as_rows(content, "stdin" if source == "-" else source, fields)
        check_columns(rows, fields, needs_label=False)
        check_texts(rows, fields)
        yield rows
