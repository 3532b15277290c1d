"""metrics.jsonl: one strict-JSON line an event; a resume cuts away what came after its checkpoint."""

from __future__ import annotations

import json
import math
import os
from functools import partial
from pathlib import Path
from typing import Any

from ftcli.config.registry import register
from ftcli.config.schema import LoggerConfig


class JsonlLog:
    """Appends events; each line is complete before the next is begun.

    Args:
        path: metrics.jsonl.
        keep: how many lines stay, those the checkpoint knew of; None: all that are there.

    Raises:
        RunDirError: from every method, when the disk is full or cannot be written.
    """

    def __init__(self, path: Path, keep: int | None) -> None:
        from ftcli.storage.atomic import explained

        self._explained = partial(explained, path)
        if keep is not None and path.exists():
            cut_after(path, keep)
        with self._explained():
            # Unbuffered: a line that failed is not tried again when the file is closed.
            self._file = path.open("ab", buffering=0)

    def log(self, event: dict[str, Any]) -> None:
        """Appends an event as one line of JSON."""
        line = (json.dumps(_strict(event), allow_nan=False) + "\n").encode()
        with self._explained():
            while line:
                line = line[self._file.write(line) :]

    def flush(self) -> None:
        """Makes the lines so far durable: they are not to be lost where a checkpoint is kept."""
        with self._explained():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


@register("logger", LoggerConfig)
def build(
    config: LoggerConfig,
    *,
    metrics_path: Path,
    tensorboard_dir: Path,
    resume_step: int | None,
    resume_events: int | None,
) -> JsonlLog:
    """Returns the log of metrics.jsonl alone.

    Args:
        config: the logger role's.
        metrics_path: metrics.jsonl.
        tensorboard_dir: not written by this logger.
        resume_step: not needed by this logger.
        resume_events: events that the checkpoint of a resume knew of; None: a new run.
    """
    return JsonlLog(metrics_path, resume_events)


def cut_after(path: Path, keep: int) -> None:
    """Cuts a file after its first `keep` lines: what came later, or was torn by a kill, happens again."""
    from ftcli.storage.atomic import write_atomic

    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    write_atomic(path, "".join(line + "\n" for line in lines[:-1][:keep]))


def _strict(value: Any) -> Any:
    """JSON has no NaN: non-finite numbers become the strings NaN, Infinity and -Infinity."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
