"""Rows to a file: jsonl, tsv or csv, all at once under its name or not at all."""

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
    """Returns the suffix that says how to write a file; `-`, stdout, is jsonl.

    Raises:
        ConfigError: none of the formats.
    """
    suffix = ".jsonl" if target == "-" else Path(target).suffix
    if suffix not in FORMATS:
        expected = f"expected one of {', '.join(FORMATS)}" + (", or -" if key == "--output" else "")
        raise ConfigError(Problem(key, f"{suffix or 'no suffix'!r} is no format", expected))
    return suffix


def refuse_existing(target: str | Path, key: str, *, force: bool) -> None:
    """Raises ConfigError where a file is there already and nothing says that it may go; a device or pipe takes rows."""
    path = Path(target)
    if not force and str(target) != "-" and path.is_file():
        message = f"{target} exists already, and would be replaced"
        raise ConfigError(Problem(key, message, "name another file, or add --force to replace it"))


@contextmanager
def opened(target: str, key: str = "--output") -> Iterator[TextIO]:
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
            Problem(key, f"{target} cannot be written: {error.strerror}", "choose another place")
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


class RowWriter:
    """Rows as jsonl, tsv or csv: the input's columns, then those that the task adds."""

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
    """Lists and objects have no form of their own in a table: they are written as JSON."""
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell


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
