"""The rows to predict: one file or several, or stdin, a few thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ftcli.config.regular_file import expanded
from ftcli.data.checks import check_columns, check_texts
from ftcli.data.content import ReadOptions
from ftcli.data.opening import split_name
from ftcli.data.reading import DEFAULTS, READ_AS, READERS, pieces
from ftcli.data.text import as_rows
from ftcli.errors import ConfigError, DataError, Problem

if TYPE_CHECKING:
    from ftcli.batching.rows import Field, Rows
    from ftcli.inference.load import LoadedModel


def read_new_rows(
    sources: Sequence[str], models: Sequence[LoadedModel], suffix: str | None, notes: list[str]
) -> Iterator[Rows]:
    """Yields the rows of files, without labels: new rows have none that mean anything.

    Args:
        sources: files, or `-` for stdin; all of them have the same columns.
        models: the columns that any of them reads must be there.
        suffix: how the files are read; None: as their names say, others by `data.format` of the first model.
        notes: gets a line on each decision in reading, such as a separator that was recognised.

    Raises:
        ConfigError: `suffix` names a format that a file cannot have.
        DataError: a file lacks a column that a task reads, or has others than the first one.
        SourceError: a file that cannot be read.
    """
    wanted = (field for model in models for field in model.inputs.task.fields() if not field.is_label)
    fields = list(dict.fromkeys(wanted))
    data = models[0].composed.config.data
    options: ReadOptions = data.reading() if hasattr(data, "reading") else DEFAULTS
    if suffix is not None:
        for source in sources:
            _require_format(source, suffix)
        options = replace(options, suffix=suffix)
    columns: list[str] | None = None
    for source in sources:
        for rows in _rows_of(source, fields, options, notes):
            own = [name for name in rows.columns if name not in rows.derived]
            if columns is not None and set(own) != set(columns):
                odd = min(set(own) ^ set(columns))
                message = f"its columns differ from those of {sources[0]}: {odd!r} is in one of them only"
                raise DataError(Problem(rows.origin, message, "predict the files one at a time"))
            columns = own
            yield rows


def _rows_of(source: str, fields: list[Field], options: ReadOptions, notes: list[str]) -> Iterator[Rows]:
    for content in pieces(source, "--input", options):
        notes += [note for note in content.notes if note not in notes]
        rows = as_rows(content, "stdin" if source == "-" else source, fields)
        check_columns(rows, fields, needs_label=False)
        check_texts(rows, fields)
        yield rows


def _require_format(source: str, suffix: str) -> None:
    """Raises ConfigError where a file's name says that it cannot be of the format."""
    own = split_name(expanded(source))[1]
    if source != "-" and own in READERS and suffix != own and suffix not in READ_AS.get(own, ()):
        message = f"{source} is {own[1:]}, as its name says, and not {suffix[1:]}"
        raise ConfigError(Problem("--format", message, "leave the flag out, or rename the file"))
