"""metrics.jsonl: one strict-JSON line an event; a resume cuts away what came after its checkpoint."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from ftcli.config.registry import register
from ftcli.config.schema import LoggerConfig
from ftcli.storage.disk import explained
from ftcli.storage.event_lines import cut_after, strict
from ftcli.storage.plain_file import open_to_append, write_all


class JsonlLog:
    """Appends events; each line is complete before the next is begun.

    Args:
        path: metrics.jsonl.
        keep: how many lines stay, those the checkpoint knew of; None: all that are there.

    Raises:
        RunDirError: from every method, when the disk is full or cannot be written.
    """

    def __init__(self, path: Path, keep: int | None) -> None:
        self._explained = partial(explained, path)
        if keep is not None and path.exists():
            cut_after(path, keep)
        with self._explained():
            self._file = open_to_append(path)

    def log(self, event: dict[str, Any]) -> None:
        """Appends an event as one line of JSON."""
        line = (json.dumps(strict(event), allow_nan=False) + "\n").encode()
        with self._explained(len(line)):
            write_all(self._file, line)

    def flush(self) -> None:
        """Makes the lines so far durable: they are not to be lost where a checkpoint is kept."""
        with self._explained():
            os.fsync(self._file)

    def close(self) -> None:
        """Closes the file."""
        descriptor, self._file = self._file, -1
        if descriptor >= 0:
            os.close(descriptor)


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
