"""Writes rows as jsonl, tsv or csv; the cells of the input go out as they came in."""

from __future__ import annotations

import csv
import json
import re
from base64 import b64encode
from collections.abc import Iterable
from datetime import date, time
from typing import TYPE_CHECKING, Any, TextIO

from ftcli.console.console import json_text
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?%?")
"""Text that a spreadsheet reads as a number, whatever it begins with."""


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula in a spreadsheet (OWASP, "CSV Injection"); the last four are full-width forms."""


class RowWriter:
    """Writes rows as jsonl, tsv or csv: the input's columns, then added ones.

    Args:
        file: where rows go.
        suffix: one of FORMATS.
        rows: any of the rows; their columns are written, except those that a reader derived.
        added: names of the columns that follow; one that the input has too gets an underscore.
        safe_csv: text that a spreadsheet would run as a formula gets a leading apostrophe, in tsv and csv.
    """

    def __init__(
        self, file: TextIO, suffix: str, rows: Rows, added: list[str], *, safe_csv: bool = False
    ) -> None:
        self.file, self.suffix, self.safe_csv = file, suffix, safe_csv
        self.num_guarded = 0
        """Cells that got an apostrophe so far, titles included."""
        self.names = [name for name in rows.columns if name not in rows.derived]
        self.added = [_free(name, self.names) for name in added]
        # csv.writer quotes a line break only if it is the one that ends its lines: a lone CR has to be in there.
        self.csv = csv.writer(_CutEnds(file), lineterminator="\r\n")
        if suffix != ".jsonl":
            own = ["" if name in rows.without_name else name for name in self.names]
            self._write_cells([*own, *self.added])

    def write(self, rows: Rows, added: list[list[Any]]) -> None:
        """Writes rows.

        Args:
            rows: with the columns that the constructor was given.
            added: cells of the added columns, a list for each row.

        Raises:
            DataError: a value with a tab or a line break, for tsv; text that UTF-8 cannot hold, for tsv and csv.
        """
        own_cells = zip(*(rows.columns[name] for name in self.names), strict=True)
        for row, (own, new) in enumerate(zip(own_cells, added, strict=True)):
            cells = [*own, *new]
            if self.suffix == ".jsonl":
                record = dict(zip([*self.names, *self.added], cells, strict=True))
                for name, lost in rows.absent.items():
                    if row in lost:
                        record.pop(name, None)
                self.file.write(json_text(record, _as_text) + "\n")
            else:
                self._write_cells(cells)

    def _write_cells(self, cells: list[Any]) -> None:
        """Writes one line of tsv or csv."""
        flat = [self._guarded(_flat(cell)) for cell in cells]
        try:
            if self.suffix == ".csv":
                self.csv.writerow(flat)
            else:
                self.file.write("\t".join(_one_cell(cell) for cell in flat) + "\n")
        except UnicodeEncodeError as error:
            message = (
                f"a text holds half of a character, {error.object[error.start]!r}, which no file of text can"
            )
            raise DataError(Problem("--output", message, "write .jsonl")) from error

    def _guarded(self, cell: Any) -> Any:
        """Returns text that would start a formula with a leading apostrophe, if that was asked for; never a number."""
        if not (self.safe_csv and isinstance(cell, str) and cell.startswith(FORMULA)):
            return cell
        if NUMBER.fullmatch(cell):
            return cell
        self.num_guarded += 1
        return "'" + cell


class _CutEnds:
    """Ends lines with LF in place of the CRLF that makes csv.writer quote both of them."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, line: str) -> None:
        self.file.write(line.removesuffix("\r\n") + "\n")


def _as_text(value: Any) -> str:
    """Returns what stands for a value that JSON lacks: ISO 8601 for times, the digits of a decimal, base64 for bytes."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _flat(cell: Any) -> Any:
    """Returns a cell's value for tsv and csv, which have no lists and objects: those are written as JSON."""
    if isinstance(cell, list | dict):
        return json.dumps(cell, ensure_ascii=False, default=_as_text)
    return _as_text(cell) if isinstance(cell, bytes | date | time) else cell


def _free(name: str, taken: Iterable[str]) -> str:
    """Returns the name, with as many underscores as make it differ from the columns of the input."""
    known = set(taken)
    while name in known:
        name += "_"
    return name


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
