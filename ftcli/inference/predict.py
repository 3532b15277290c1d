"""`ftcli predict`: predictions of one model or several, added to the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.config.regular_file import exists, expanded, is_folder
from ftcli.errors import ConfigError, Problem, typed_words
from ftcli.inference.new_rows import read_new_rows
from ftcli.inference.open import open_predictor, open_predictors
from ftcli.inference.output_file import format_of, opened, refuse_existing
from ftcli.inference.row_writer import RowWriter
from ftcli.model.shared import sharing_line

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows
    from ftcli.console.console import Screen
    from ftcli.inference.load import LoadedModel

PLACE = ["file", "line"]
"""Columns that say where a row comes from, where there are several files."""


def predict(
    specs: list[str],
    overrides: list[str],
    screen: Screen,
    *,
    sources: Sequence[str],
    target: str,
    force: bool,
    checkpoint: str,
    suffix: str | None = None,
    safe_csv: bool = False,
) -> int:
    """Opens one model or several and writes every row of one file or several with their predictions.

    Args:
        specs: runs, Hugging Face folders or hub ids.
        overrides: other metrics or hardware; for a folder or hub id also the task.
        screen: where one line says what was done.
        sources: files of the same columns, or `-` for stdin; of several, each row says its file and line.
        target: a file, or `-` for jsonl to stdout.
        force: an existing target is replaced.
        checkpoint: `best`, `last` or a name.
        suffix: how the sources are read, such as `.csv`; None: as their names say, stdin as jsonl.
        safe_csv: cells that a spreadsheet would run as formulas get an apostrophe, in csv and tsv.

    Returns:
        How many rows were written.

    Raises:
        ConfigError: an override that would change the model, or a target that is a source or exists.
        DataError: a source lacks a column that a task reads, or a value does not fit the target's format.
        RunDirError: a run cannot be found or read, or the target cannot be written.
    """
    _refuse_same(sources, target)
    refuse_existing(target, "--output", force=force)
    if not is_folder(folder := Path(target).parent):
        hint = f"type mkdir -p {typed_words(folder)} first"
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
    written = predict_file(models, sources, target, suffix=suffix, safe_csv=safe_csv)
    screen.notes(written.notes)
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
    notes: list[str]
    """What was decided in reading, one line each."""


def predict_file(
    models: dict[str, LoadedModel],
    sources: Sequence[str],
    target: str,
    *,
    suffix: str | None = None,
    safe_csv: bool = False,
) -> Written:
    """Writes every row of `sources` with every model's columns to `target`, a few thousand rows at a time.

    Args:
        models: name -> model; with several of them the names are put before the columns, as in `NAME.prediction`.
        sources: files of the same columns, or `-` for stdin; of several, each row says its file and line.
        target: a file, or `-` for jsonl to stdout.
        suffix: how the sources are read, such as `.csv`; None: as their names say, stdin as jsonl.
        safe_csv: as `RowWriter` takes it.

    Raises:
        DataError: a source lacks a column that a task reads, or a value does not fit the target's format.
        RunDirError: the target cannot be written.
    """
    notes: list[str] = []
    chunks = read_new_rows(sources, list(models.values()), suffix, notes)
    placed = PLACE if len(sources) > 1 else []
    # The first rows are read before the target is opened, so that a wrong source leaves no file behind.
    first = next(chunks)
    _refuse_same(sources, target)
    count = 0
    with opened(target) as file:
        writer = RowWriter(
            file,
            format_of(target, "--output"),
            first,
            [*placed, *_added_columns(models)],
            safe_csv=safe_csv,
        )
        for rows in chain([first], chunks):
            cells = [_added_cells(model, rows) for model in models.values()]
            if placed:
                cells.insert(0, [list(rows.place(row).values()) for row in range(len(rows))])
            writer.write(rows, [list(chain(*row)) for row in zip(*cells, strict=True)])
            count += len(rows)
    return Written(count, writer.num_guarded, notes)


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
    records = task.merge(model.evaluator.predict(model.model, table), table, len(rows))
    return [task.added_cells(record, table, rows, row) for row, record in enumerate(records)]


def _refuse_same(sources: Sequence[str], target: str) -> None:
    """Raises ConfigError where the output is an input."""
    written = Path(target)
    if target == "-" or not exists(written):
        return
    read = (expanded(source) for source in sources if source != "-")
    if any(exists(path) and written.samefile(path) for path in read):
        raise ConfigError(Problem("--output", "is the input file", "write to another file"))
