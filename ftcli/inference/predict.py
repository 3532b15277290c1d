"""`ftcli predict`: predictions of one model or several, added to the rows of a file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, Problem
from ftcli.inference.load import open_predictor, open_predictors
from ftcli.inference.output_file import format_of, opened, refuse_existing
from ftcli.inference.row_writer import RowWriter
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
    suffix: str | None = None,
    safe_csv: bool = False,
) -> int:
    """Opens one model or several and writes every row of a file with their predictions.

    Args:
        specs: runs, Hugging Face folders or hub ids.
        overrides: other metrics or hardware; for a folder or hub id also the task.
        screen: where one line says what was done.
        source: a file, or `-` for stdin.
        target: a file, or `-` for jsonl to stdout.
        force: an existing target is replaced.
        checkpoint: `best`, `last` or a name.
        suffix: how the source is read, such as `.csv`; None: as its name says, stdin as jsonl.
        safe_csv: cells that a spreadsheet would run as formulas get an apostrophe, in csv and tsv.

    Returns:
        How many rows were written.

    Raises:
        ConfigError: an override that would change the model, or a target that is the source or exists.
        DataError: the source lacks a column that a task reads, or a value does not fit the target's format.
        RunDirError: a run cannot be found or read, or the target cannot be written.
    """
    _refuse_same(source, target)
    refuse_existing(target, "--output", force=force)
    if not (folder := Path(target).parent).is_dir():
        hint = f"type mkdir -p {shlex.quote(str(folder))} first"
        raise ConfigError(Problem("--output", f"there is no folder {folder}", hint))
    if safe_csv and format_of(target, "--output") == ".jsonl":
        message = "guards the cells of a spreadsheet, and jsonl has none"
        raise ConfigError(Problem("--safe-csv", message, "write .csv or .tsv, or leave the flag out"))
    if len(specs) == 1:
        loaded = open_predictor(specs[0], checkpoint, overrides, with_rows=False)
        models, by = {loaded.origin: loaded}, loaded.origin
    else:
        models, shared = open_predictors(specs, checkpoint, overrides, with_rows=False)
        by = f"{', '.join(models)}; {sharing_line(shared)}"
    written = predict_file(models, source, target, suffix=suffix, safe_csv=safe_csv)
    screen.note(f"{written.num_rows} rows predicted by {by}")
    if safe_csv:
        screen.note(
            f"--safe-csv: an apostrophe was put before {written.num_guarded:,} cells; numbers are as they were"
        )
    return written.num_rows


@dataclass(slots=True)
class Written:
    """What was written to a file."""

    num_rows: int
    num_guarded: int
    """Cells that got an apostrophe."""


def predict_file(
    models: dict[str, LoadedModel],
    source: str,
    target: str,
    *,
    suffix: str | None = None,
    safe_csv: bool = False,
) -> Written:
    """Writes every row of `source` with every model's columns to `target`, a few thousand rows at a time.

    Args:
        models: name -> model; with several of them the names are put before the columns, as in `NAME.prediction`.
        source: a file, or `-` for stdin.
        target: a file, or `-` for jsonl to stdout.
        suffix: how the source is read, such as `.csv`; None: as its name says, stdin as jsonl.
        safe_csv: as `RowWriter` takes it.

    Raises:
        DataError: the source lacks a column that a task reads, or a value does not fit the target's format.
        RunDirError: the target cannot be written.
    """
    chunks = _read_chunks(source, list(models.values()), suffix)
    # The first rows are read before the target is opened, so that a wrong source leaves no file behind.
    first = next(chunks)
    _refuse_same(source, target)
    count = 0
    with opened(target) as file:
        writer = RowWriter(
            file, format_of(target, "--output"), first, _added_columns(models), safe_csv=safe_csv
        )
        for rows in chain([first], chunks):
            cells = [_added_cells(model, rows) for model in models.values()]
            writer.write(rows, [list(chain(*row)) for row in zip(*cells, strict=True)])
            count += len(rows)
    return Written(count, writer.num_guarded)


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
    if "-" in (source, target):
        return
    read, written = Path(source).expanduser(), Path(target)
    if read.exists() and written.exists() and written.samefile(read):
        raise ConfigError(Problem("--output", "is the input file", "write to another file"))


def _read_chunks(source: str, models: Sequence[LoadedModel], suffix: str | None) -> Iterator[Rows]:
    """Yields the input's rows, a few thousand at a time, without labels: new rows have none that mean anything.

    Args:
        source: a file, or `-` for stdin.
        models: the columns that any of them reads must be there.
        suffix: how it is read; None: by `data.format` of the first model, then by its name.
    """
    from ftcli.data.checks import check_columns, check_texts
    from ftcli.data.reading import DEFAULTS, pieces
    from ftcli.data.text import as_rows

    wanted = (field for model in models for field in model.inputs.task.fields() if not field.is_label)
    fields = list(dict.fromkeys(wanted))
    data = models[0].composed.config.data
    options = data.reading() if hasattr(data, "reading") else DEFAULTS
    if suffix is not None:
        options = replace(options, suffix=suffix)
    for content in pieces(source, "--input", options):
        rows = as_rows(content, "stdin" if source == "-" else source, fields)
        check_columns(rows, fields, needs_label=False)
        check_texts(rows, fields)
        yield rows
