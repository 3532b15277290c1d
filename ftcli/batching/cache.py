"""Content-addressed cache of token tables: the same rows are tokenized once.

An entry's name is the hash of everything its bytes depend on, so nothing ever becomes stale. Entries
appear by rename, complete or not at all; a damaged one is rebuilt; a folder that cannot be
written only means that rows are tokenized again.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from ftcli.batching.protocols import Encoder, Tokenizer
from ftcli.batching.rows import Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.regular_file import expanded
from ftcli.errors import CheckpointError, ConfigError, DataError, FtcliError, Problem
from ftcli.storage.atomic import commit, discard
from ftcli.storage.manifest import verify

FORMAT = 5
"""Goes up whenever the meaning of an entry's bytes changes."""

TABLE = "table.safetensors"


def cache_folder() -> Path:
    """Returns $FTCLI_CACHE, else $XDG_CACHE_HOME/ftcli, else ~/.cache/ftcli.

    Raises:
        ConfigError: there is no home folder.
    """
    if own := os.environ.get("FTCLI_CACHE"):
        return expanded(own)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "ftcli"
    except RuntimeError as error:  # neither HOME nor an entry of the user's in the system's list
        message = "the home folder of this user is not known, so that there is no place for the cache"
        raise ConfigError(Problem("HOME", message, "type export FTCLI_CACHE=DIR first")) from error


def table_key(rows: Rows, tokenizer: Tokenizer, task: Encoder, labels: list[str]) -> str:
    """Returns the hex sha256 of everything that a token table's bytes depend on.

    Args:
        rows: of one part.
        tokenizer: encodes them.
        task: says what a row is.
        labels: names of the head's outputs, by id.
    """
    facts = {
        "format": FORMAT,
        "task": f"{type(task).__module__}.{type(task).__qualname__}",
        "part": rows.name,
        "rows": rows.sha256,
        "class_names": rows.class_names,
        "columns": asdict(task.columns),
        # Fields that no row's bytes depend on stay out, so that another metric does not tokenize again.
        "config": {k: v for k, v in asdict(task.config).items() if k not in ("metrics", "label_smoothing")},
        "labels": labels,
        "label_reading": task.label_reading(),
        "tokenizer": tokenizer.fingerprint,
        "max_length": tokenizer.max_length,
        "versions": {name: version(name) for name in ("tokenizers", "transformers")},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def cached_table(
    rows: Rows, tokenizer: Tokenizer, task: Encoder, labels: list[str], *, store: bool = True
) -> tuple[TokenTable, list[str]]:
    """Returns the token table of `rows`, from the cache or newly encoded.

    Args:
        rows: of one part.
        tokenizer: encodes them.
        task: says what a row is.
        labels: names of the head's outputs, by id.
        store: keep in the cache what was not there.

    Returns:
        The table, and lines that say what the cache did.

    Raises:
        DataError: the rows cannot be encoded; nothing is cached then.
    """
    entry = cache_folder() / "tables" / table_key(rows, tokenizer, task, labels)
    unit = task.table_class.unit
    lines = []
    if _exists(entry):
        try:
            verify(entry)
            return task.table_class.load(entry / TABLE), [f"{rows.name}: {unit} from the cache"]
        except (DataError, CheckpointError):
            lines.append(f"{rows.name}: the cached {unit} were damaged and are built again")
    table = task.encode(rows, tokenizer)
    if not store:
        return table, lines
    try:
        _store(entry, table)
    except (FtcliError, OSError) as error:
        # Of processes that start together the first one's entry stays, and it holds the same bytes.
        if not _exists(entry):
            reason = " ".join(str(error).split())
            lines.append(f"{rows.name}: {unit} are not cached, {reason} (FTCLI_CACHE=DIR moves the cache)")
    return table, lines


def _exists(entry: Path) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # no permission to look
        return False


def _store(entry: Path, table: TokenTable) -> None:
    if _exists(entry):
        discard(entry)
    with commit(entry) as stage:
        table.save(stage / TABLE)
