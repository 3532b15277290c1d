"""What evaluate and predict do with a finished model: score a part, or add predictions to a file."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from ftcli.batching.cache import cached_table
from ftcli.errors import ConfigError, DataError, Problem, RunDirError

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows
    from ftcli.finished import Finished
    from ftcli.screen import Screen

CHUNK_ROWS = 4096
FORMATS = (".jsonl", ".tsv", ".csv")


def evaluate_part(finished: Finished, part: str, screen: Screen) -> dict[str, Any]:
    """Returns the metrics of one labelled part.

    Raises:
        DataError: the part does not exist or has no labels.
    """
    ground = finished.ground
    screen.notes(ground.decisions)
    rows = getattr(ground.parts, part)
    if rows is None:
        raise DataError(Problem("--split", f"there is no {part} part", f"type data.files.{part}=FILE"))
    table, lines = cached_table(rows, ground.tokenizer, ground.task, ground.labels)
    screen.notes(lines)
    if table.labels is None:
        raise DataError(
            Problem("--split", f"the {part} part has no labels", "ftcli predict writes predictions for it")
        )
    scores = finished.evaluator.score(finished.model, table)
    return {"metrics": scores.figures, "part": part, "rows": len(table), "data": rows.origin,
            "model": finished.origin, "labels": ground.labels}  # fmt: skip


def predict_file(finished: Finished, source: str, target: str) -> int:
    """Writes every row of `source` with its prediction and probabilities to `target`; returns how many.

    Raises:
        DataError: the input lacks the text column, or a value does not fit the output's format.
        RunDirError: the output cannot be written.
    """
    suffix = ".jsonl" if target == "-" else Path(target).suffix
    if suffix not in FORMATS:
        raise ConfigError(
            Problem(
                "--output",
                f"{suffix or 'no suffix'!r} is no format",
                f"expected one of {', '.join(FORMATS)}, or -",
            )
        )
    rows = _read(source, finished)
    if target != "-" and Path(target).exists() and source != "-" and Path(target).samefile(source):
        raise ConfigError(Problem("--output", "is the input file", "write to another file"))
    with _opened(target) as file:
        writer = _Writer(file, suffix, rows, finished.labels)
        for start in range(0, len(rows), CHUNK_ROWS):
            piece = rows.take(np.arange(start, min(start + CHUNK_ROWS, len(rows))))
            columns = finished.ground.task.columns
            pairs = piece.columns[columns.text_pair] if columns.text_pair else None
            table = finished.ground.tokenizer.encode(piece.columns[columns.text], pairs)
            writer.write(piece, finished.evaluator.predict(finished.model, table))
    return len(rows)


def write_predictions(path: Path, task: Any, labels: np.ndarray | None, probabilities: np.ndarray) -> None:
    """Writes one JSON line a row: row, label, prediction, probabilities by label name."""
    from ftcli.checkpoint.commit import write_atomic

    path.parent.mkdir(exist_ok=True)
    lines = []
    for row, values in enumerate(probabilities):
        label = None if labels is None else int(labels[row])
        lines.append(json.dumps({"row": row, **task.prediction_row(values, label)}, ensure_ascii=False))
    write_atomic(path, "\n".join(lines) + "\n")


def _read(source: str, finished: Finished) -> Rows:
    from ftcli.batching.rows import Rows
    from ftcli.data.checks import check_columns, check_texts
    from ftcli.data.reading import parse
    from ftcli.data.text import read_rows

    columns = finished.ground.task.columns
    if source != "-":
        return read_rows(source, columns, key="--input")
    content = parse(sys.stdin.buffer.read(), ".jsonl", "stdin", "--input")
    lines = None if content.line_numbers is None else np.array(content.line_numbers)
    rows = Rows("predict", content.columns, "stdin", content.sha256, lines)
    check_columns(rows, columns, needs_label=False)
    check_texts(rows, columns)
    return rows


@contextmanager
def _opened(target: str) -> Iterator[TextIO]:
    """Yields stdout, or a file that appears under its name only when all rows are in it."""
    if target == "-":
        yield sys.stdout
        return
    path = Path(target)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise RunDirError(
            Problem("--output", f"{target} cannot be written: {error.strerror}", "choose another place")
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


class _Writer:
    """Rows as jsonl, tsv or csv: the input's columns, then prediction and a column a label."""

    def __init__(self, file: TextIO, suffix: str, rows: Rows, labels: list[str]) -> None:
        self.file, self.suffix, self.labels = file, suffix, labels
        self.names = list(rows.columns)
        self.added = [
            _free(name, self.names) for name in ["prediction", *(f"probability_{label}" for label in labels)]
        ]
        if suffix == ".csv":
            self.csv = csv.writer(file, lineterminator="\n")
            self.csv.writerow([_inert(name) for name in [*self.names, *self.added]])
        elif suffix == ".tsv":
            file.write("\t".join(_one_cell(name) for name in [*self.names, *self.added]) + "\n")

    def write(self, rows: Rows, probabilities: np.ndarray) -> None:
        for place, cells in enumerate(zip(*rows.columns.values(), strict=True)):
            values = probabilities[place]
            added: list[Any] = [self.labels[int(values.argmax())], *(float(value) for value in values)]
            if self.suffix == ".jsonl":
                record = dict(zip([*self.names, *self.added], [*cells, *added], strict=True))
                self.file.write(json.dumps(record, ensure_ascii=False) + "\n")
            elif self.suffix == ".csv":
                self.csv.writerow([_inert(cell) for cell in [*cells, *added]])
            else:
                self.file.write("\t".join(_one_cell(cell) for cell in [*cells, *added]) + "\n")


def _free(name: str, taken: Iterable[str]) -> str:
    """Returns a name no column of the input has."""
    return _free(f"{name}_", taken) if name in taken else name


def _inert(cell: Any) -> Any:
    """A spreadsheet must not run a cell: text that would start a formula gets a leading quote."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _one_cell(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    if "\t" in text or "\n" in text or "\r" in text:
        raise DataError(
            Problem(
                "--output", "a value holds a tab or a line break, which tsv cannot", "write .jsonl or .csv"
            )
        )
    return text
