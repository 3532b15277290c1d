"""Content-addressed cache of token tables: the same rows are tokenised once.

An entry's name is the hash of everything its bytes depend on, so nothing ever becomes stale. Entries
appear by rename, complete or not at all; a damaged one is rebuilt; a folder that cannot be
written only means that rows are tokenised again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from ftcli.batching.rows import Rows
from ftcli.batching.table import TokenTable
from ftcli.config import ColumnsConfig
from ftcli.errors import DataError

FORMAT = 1
"""Goes up whenever the meaning of an entry's bytes changes."""


class Tokenizer(Protocol):
    """What a cache entry depends on of a tokenizer."""

    fingerprint: str
    max_length: int


class Encoder(Protocol):
    """What a cache entry depends on of a task, and the work that it saves."""

    columns: ColumnsConfig

    def encode(self, rows: Rows, tokenizer: Any) -> TokenTable: ...


def cache_folder() -> Path:
    """Returns $FTCLI_CACHE, else $XDG_CACHE_HOME/ftcli, else ~/.cache/ftcli."""
    if own := os.environ.get("FTCLI_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ftcli"


def table_key(rows: Rows, tokenizer: Tokenizer, task: Encoder, labels: list[str]) -> str:
    """Returns the hex sha256 of everything that a token table's bytes depend on."""
    facts = {
        "format": FORMAT,
        "task": f"{type(task).__module__}.{type(task).__qualname__}",
        "part": rows.name,
        "rows": rows.sha256,
        "class_names": rows.class_names,
        "columns": asdict(task.columns),
        "labels": labels,
        "tokenizer": tokenizer.fingerprint,
        "max_length": tokenizer.max_length,
        "versions": {name: version(name) for name in ("tokenizers", "transformers")},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def cached_table(
    rows: Rows, tokenizer: Tokenizer, task: Encoder, labels: list[str]
) -> tuple[TokenTable, list[str]]:
    """Returns the token table of `rows` and the lines that say what the cache did.

    Raises:
        DataError: the rows cannot be encoded; nothing is cached then.
    """
    entry = cache_folder() / "tables" / table_key(rows, tokenizer, task, labels)
    lines = []
    if entry.exists():
        try:
            return _load(entry), [f"{rows.name}: tokens from the cache"]
        except (DataError, OSError):
            lines.append(f"{rows.name}: the cached tokens were damaged and are built again")
    table = task.encode(rows, tokenizer)
    try:
        _store(entry, table)
    except OSError as error:
        reason = f"{cache_folder()}: {error.strerror or error}"
        lines.append(f"{rows.name}: tokens are not cached, {reason} (FTCLI_CACHE=DIR moves the cache)")
    return table, lines


def _load(entry: Path) -> TokenTable:
    """Reads an entry whose manifest holds.

    Raises:
        DataError: the bytes are not those that were written.
    """
    file = entry / "table.safetensors"
    try:
        expected = json.loads((entry / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{entry} has no manifest that can be read") from error
    if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
        raise DataError(f"{file} is not what was written")
    return TokenTable.load(file)


def _store(entry: Path, table: TokenTable) -> None:
    """Stages an entry, makes it durable and renames it; of two processes the first one wins."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".stage-", dir=entry.parent))
    try:
        file = stage / "table.safetensors"
        table.save(file)
        manifest = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        (stage / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        for path in (file, stage / "manifest.json", stage):
            _fsync(path)
        # A damaged entry is moved away whole, so that no reader sees half of one being deleted.
        with contextlib.suppress(FileNotFoundError):
            entry.rename(stage.with_name(stage.name + "-damaged"))
        _rename(stage, entry)
    finally:
        shutil.rmtree(stage.with_name(stage.name + "-damaged"), ignore_errors=True)
        shutil.rmtree(stage, ignore_errors=True)


def _rename(stage: Path, entry: Path) -> None:
    try:
        stage.rename(entry)
    except OSError:
        if not entry.is_dir():
            raise
    _fsync(entry.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
