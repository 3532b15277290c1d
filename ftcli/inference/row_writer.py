"""Writes rows to a file: jsonl, tsv or csv. The file appears under its name when all rows are written, or not at all."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ftcli.errors import ConfigError, DataError, Problem, RunDirError

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows

FORMATS = (".jsonl", ".tsv", ".csv")


def format_of(target: str, key: str) -> str:
    """Returns the suffix that says how to write a file; stdout, `-`, gets jsonl.

    Args:
        target: a file, or `-`.
        key: the flag that names it, for messages.

    Raises:
        ConfigError: the suffix is not one of FORMATS.
    """
    suffix = ".jsonl" if target == "-" else Path(target).suffix
    if suffix not in FORMATS:
        expected = f"expected one of {', '.join(FORMATS)}" + (", or -" if key == "--output" else "")
        raise ConfigError(Problem(key, f"{suffix or 'no suffix'!r} is not a format", expected))
    return suffix


def refuse_existing(target: str | Path, key: str, *, force: bool) -> None:
    """Refuses to replace a file that exists, unless `force`; devices and pipes are written to.

    Raises:
        ConfigError: the file exists.
    """
    path = Path(target)
    if not force and str(target) != "-" and path.is_file():
        message = f"{target} exists already, and would be replaced"
        raise ConfigError(Problem(key, message, "name another file, or add --force to replace it"))


@contextmanager
def opened(target: str, key: str = "--output") -> Iterator[TextIO]:
    """Yields stdout, or a file that appears under its name only when the block ends without an error.

    Args:
        target: a file, or `-`.
        key: the flag that names it, for messages.

    Raises:
        RunDirError: the file cannot be written.
    """
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
            Problem(key, f"{target} cannot be written: {error.strerror}", "choose another place")
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


class RowWriter:
    """Writes rows as jsonl, tsv or csv: the input's columns, then added ones.

    Args:
        file: where rows go.
        suffix: one of FORMATS.
        rows: any of the rows; their columns are written, except those that a reader derived.
        added: names of the columns that follow; one that the input has too gets an underscore.
    """

    def __init__(self, file: TextIO, suffix: str, rows: Rows, added: list[str]) -> None:
        self.file, self.suffix = file, suffix
        self.names = [name for name in rows.columns if name not in rows.derived]
        self.added = [_free(name, self.names) for name in added]
        if suffix == ".csv":
            self.csv = csv.writer(file, lineterminator="\n")
            self.csv.writerow([_inert(name) for name in [*self.names, *self.added]])
        elif suffix == ".tsv":
            file.write("\t".join(_one_cell(name) for name in [*self.names, *self.added]) + "\n")

    def write(self, rows: Rows, added: list[list[Any]]) -> None:
        """Writes rows.

        Args:
            rows: with the columns that the constructor was given.
            added: cells of the added columns, a list for each row.

        Raises:
            DataError: a value with a tab or a line break, for tsv.
        """
        for own, new in zip(
            zip(*(rows.columns[name] for name in self.names), strict=True), added, strict=True
        ):
            cells = [*own, *new]
            if self.suffix == ".jsonl":
                record = dict(zip([*self.names, *self.added], cells, strict=True))
                self.file.write(json.dumps(record, ensure_ascii=False) + "\n")
            elif self.suffix == ".csv":
                self.csv.writerow([_inert(_flat(cell)) for cell in cells])
            else:
                self.file.write("\t".join(_one_cell(_flat(cell)) for cell in cells) + "\n")


def _flat(cell: Any) -> Any:
    """Returns a cell's value for tsv and csv, which have no lists and objects: those are written as JSON."""
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell


def _free(name: str, taken: Iterable[str]) -> str:
    """Returns the name, with as many underscores as make it differ from the columns of the input."""
    return _free(f"{name}_", taken) if name in taken else name


def _inert(cell: Any) -> Any:
    """Returns text that a spreadsheet does not run as a formula: one that could start one gets a leading quote."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _one_cell(cell: Any) -> str:
    """Returns a cell of tsv, which has no quoting.

    Raises:
        DataError: a tab or a line break in it.
    """
    text = "" if cell is None else str(cell)
    if "\t" in text or "\n" in text or "\r" in text:
        message = "a value contains a tab or a line break, which tsv cannot"
        raise DataError(Problem("--output", message, "write .jsonl or .csv"))
    return text
