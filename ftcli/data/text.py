"""Texts, or pairs of texts, with a label: from a folder, single files, the hub or the package itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from ftcli.batching.rows import DatasetSplits, Field, Rows, text_fields
from ftcli.config.bundled import bundled
from ftcli.config.registry import register
from ftcli.config.regular_file import is_folder
from ftcli.config.schema import ColumnsConfig, DataConfig
from ftcli.data.checks import check_columns, check_texts
from ftcli.data.content import Content, ReadOptions
from ftcli.data.decoding import check_encoding
from ftcli.data.delimited import separator_of
from ftcli.data.nested import add_nested
from ftcli.data.opening import expanded, folder_at
from ftcli.data.reading import read_file
from ftcli.data.saved import is_saved, read_saved
from ftcli.data.splits import NAMES, files_hint, find_parts, match_splits, read_part
from ftcli.data.splitting import ensure_validation, limit_parts
from ftcli.errors import ConfigError, DataError, FtcliError, Problem, did_you_mean


class FileFormat(Enum):
    auto = "auto"
    tsv = "tsv"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"
    conll = "conll"
    squad = "squad"
    conllu = "conllu"
    txt = "txt"

    @property
    def suffix(self) -> str | None:
        """What a file of this format ends in; None for what its own name says."""
        return None if self is FileFormat.auto else f".{self.value}"


@dataclass(kw_only=True, slots=True)
class TextConfig(DataConfig):
    format: FileFormat = FileFormat.auto
    """How files are read whose name does not say it; `auto`: as their suffix says. A suffix that can only be of another
    format wins: a .jsonl is never read as conll. `txt`: a text a line."""
    encoding: str = "utf-8"
    """Of files of text, such as latin-1, cp1252 or utf-16."""
    separator: str | None = None
    """Of csv and tsv: one character in quotes, or comma, semicolon, tab, pipe or space. None: the tab for tsv; for csv the
    comma or, where the first rows have none, what separates them."""
    quotes: bool | None = None
    """Whether quotes of csv and tsv enclose fields. None: yes for csv; for tsv where the whole file was written so."""
    header: list[str] | None = None
    """Names of the columns of csv and tsv files that have no header; a file whose first row holds one of these names has one."""
    word_field: int | None = None
    """Of conll and conllu: number of the field with the word, from 1. None: 1; 2 for conllu."""
    tag_field: int | None = None
    """Of conll and conllu: number of the field with the tag, from 1. None: the last one; 4 for conllu."""
    bundled: str | None = None
    """Name of a data folder that comes with ftcli. `path` wins over it, it wins over `id`."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before anything is read."""
        found = self._option_problems()
        if self.path or self.bundled or self.id or self.files.train:
            return found
        hint = "type data.path=DIR, data.files.train=FILE, data.id=NAME or data=reviews"
        message = "no rows are named: data.path, data.files and data.id are not set"
        return [*found, Problem("data.path", message, hint)]

    def _option_problems(self) -> list[Problem]:
        found: list[Problem] = []
        for test in (lambda: check_encoding(self.encoding), lambda: separator_of(self.separator or "tab")):
            try:
                test()
            except ConfigError as error:
                found += error.problems
        for key in ("word_field", "tag_field"):
            if (number := getattr(self, key)) is not None and number < 1:
                found.append(Problem(f"data.{key}", f"got {number}", "expected a number from 1"))
        if self.header is not None and (
            len(set(self.header)) < len(self.header) or "" in self.header or not self.header
        ):
            found.append(Problem("data.header", f"got {self.header}", "name each column, each once"))
        return found

    def reading(self) -> ReadOptions:
        """Returns what is said here about files."""
        return ReadOptions(
            suffix=self.format.suffix,
            encoding=self.encoding,
            separator=self.separator,
            quotes=self.quotes,
            header=None if self.header is None else tuple(self.header),
            word_field=self.word_field,
            tag_field=self.tag_field,
        )


@register("data", TextConfig)
def build(
    config: TextConfig,
    *,
    seed: int,
    needs_label: bool = True,
    needs_train: bool = True,
    fields: Sequence[Field] | None = None,
) -> DatasetSplits:
    """Reads, checks, splits and limits the rows.

    Args:
        config: where the rows are.
        seed: draws the rows of a limit; has no say in a validation share.
        needs_label: train and validation must have the label column.
        needs_train: False for an evaluation, where any one part is enough.
        fields: the columns that the task reads; None: one text or two, and a label.

    Raises:
        ConfigError: no source is named, or there is no validation part and no share.
        SourceError: a file, folder or hub data set cannot be had.
        DataError: a file is not what its name promises, a column is missing, a value is no text.
    """
    decisions: list[str] = []
    fields = text_fields(config.columns) if fields is None else fields
    parts = _read_parts(config, decisions, needs_train)
    for rows in parts.values():
        required = needs_label and rows.name != "test"
        add_nested(rows, [field.column for field in fields])
        check_columns(rows, fields, needs_label=required)
        if empty := check_texts(rows, fields):
            decisions.append(f"{rows.name}: {empty}")
    if needs_train:
        _require_train(config, parts)
        ensure_validation(
            config, parts, fields, decisions, other=("data.files.validation", "data.files.validation=FILE")
        )
    limit_parts(config, parts, seed, decisions)
    return DatasetSplits(parts.get("train"), parts.get("validation"), parts.get("test"), decisions)


def as_rows(content: Content, origin: str, fields: Sequence[Field]) -> Rows:
    """Returns the content of a file to predict as rows, with the nested columns that a task reads.

    Args:
        content: of the file.
        origin: how messages name it.
        fields: what the task reads.
    """
    columns = {field.key: field.column for field in fields}
    own = ColumnsConfig(text=columns.get("text", "text"), label=columns.get("label", "label"))
    return add_nested(_rows("predict", content, origin, own), [field.column for field in fields])


def _read_parts(config: TextConfig, decisions: list[str], needs_train: bool) -> dict[str, Rows]:
    """Returns part -> rows; each of data.files wins over what path, bundled or id would give."""
    named = {part: file for part in NAMES if (file := getattr(config.files, part))}
    if (problems := config.problems()) and (needs_train or not named):
        raise ConfigError(*problems)
    parts: dict[str, Rows] = {}
    errors: list[FtcliError] = []
    for part, file in named.items():
        try:
            place = expanded(file)
            content = read_file(place, f"data.files.{part}", config.reading())
            decisions += [f"{part}: {note}" for note in content.notes]
            parts[part] = _rows(part, content, str(place), config.columns)
        except FtcliError as error:
            errors.append(error)
    if errors:
        raise type(errors[0])(*(problem for error in errors for problem in error.problems))
    return parts | _read_source(config, set(named), decisions)


def _read_source(config: TextConfig, named: set[str], decisions: list[str]) -> dict[str, Rows]:
    """Reads the parts that data.files does not name from path, the package or the hub."""
    if config.path:
        if config.id and not config.bundled:
            decisions.append(f"data.path={config.path} wins over data.id={config.id}")
        return _from_folder(config, config.path, named, decisions)
    published = config.bundled or config.id
    if published is None or named >= {"train", "validation", "test"}:
        return {}
    if "train" in named:
        # Published validation rows say little about a model trained on other rows.
        decisions.append(f"data.files.train is set: no rows of {published} are used")
        return {}
    if config.bundled:
        return _from_folder(config, str(_bundled_folder(config.bundled)), named, decisions)
    return _from_hub(config, named)


def _bundled_folder(name: str) -> Path:
    folders = {folder.name: folder for folder in sorted(bundled("recipes").iterdir()) if folder.is_dir()}
    if name not in folders:
        message = f"no rows named {name!r} come with ftcli"
        raise ConfigError(Problem("data.bundled", message, did_you_mean(name, folders)))
    return folders[name]


def _from_folder(config: TextConfig, folder: str, named: set[str], decisions: list[str]) -> dict[str, Rows]:
    if is_saved(place := folder_at(folder)):
        contents = read_saved(place)
        found = match_splits(contents, folder)
        return {
            part: _rows(part, contents[split], f"{folder} ({split})", config.columns)
            for part, split in found.items()
            if part not in named
        }
    parts = {}
    for part, files in find_parts(folder, config.subset).items():
        if part not in named:
            content, origin = read_part(files, "data.path", config.reading())
            decisions += [f"{part}: {note}" for note in content.notes]
            parts[part] = _rows(part, content, origin, config.columns)
    return parts


def _from_hub(config: TextConfig, named: set[str]) -> dict[str, Rows]:
    from ftcli.data.hub import read_hub

    assert config.id is not None
    origin = config.id + (f"/{config.subset}" if config.subset else "")
    contents = read_hub(config.id, config.subset)
    parts = {}
    for part, split in match_splits(contents, origin).items():
        if part not in named:
            parts[part] = _rows(part, contents[split], f"{origin} ({split})", config.columns)
    return parts


def _rows(part: str, content: Content, origin: str, columns: ColumnsConfig) -> Rows:
    if content.unnamed:  # a format without column names takes those that the configuration speaks of
        content.columns = dict(zip((columns.text, columns.label), content.columns.values(), strict=False))
    lines = None if content.line_numbers is None else np.array(content.line_numbers)
    names = content.class_names.get(columns.label)
    rows = Rows(part, content.columns, origin, content.sha256, lines, names)
    rows.without_name, rows.headed, rows.absent = content.without_name, content.headed, content.absent
    rows.row_numbers = np.arange(content.first_row, content.first_row + len(rows))
    if content.files:
        rows.files = tuple(file for file, _ in content.files)
        counts = [count for _, count in content.files]
        rows.file_numbers = np.repeat(np.arange(len(counts)), counts)
        rows.row_numbers = np.concatenate([np.arange(1, count + 1) for count in counts])
    return rows


def _require_train(config: TextConfig, parts: dict[str, Rows]) -> None:
    if "train" not in parts:
        held = " and ".join(f"a {name} part ({rows.origin})" for name, rows in parts.items())
        hint = "type data.files.train=FILE"
        if config.path and is_folder(folder := expanded(config.path)):
            hint = files_hint(folder)
        raise DataError(Problem("data.files.train", f"there is no training part, only {held}", hint))
