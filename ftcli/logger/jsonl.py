"""metrics.jsonl: one strict-JSON line an event; a resume cuts away what came after its step."""

from __future__ import annotations

import json
import math
import os
from functools import partial
from pathlib import Path
from typing import Any

from ftcli.config import LoggerConfig
from ftcli.registry import register


class JsonlLog:
    """Appends events; each line is complete before the next is begun.

    Args:
        path: metrics.jsonl.
        resume_step: keep lines of steps up to this one; None starts with what is there.

    Raises:
        RunDirError: from every method, when the disk is full or cannot be written.
    """

    def __init__(self, path: Path, resume_step: int | None) -> None:
        from ftcli.checkpoint.commit import explained

        self._explained = partial(explained, path)
        if resume_step is not None and path.exists():
            cut_after(path, resume_step)
        with self._explained():
            # Unbuffered: a line that failed is not tried again when the file is closed.
            self._file = path.open("ab", buffering=0)

    def log(self, event: dict[str, Any]) -> None:
        line = (json.dumps(_strict(event), allow_nan=False) + "\n").encode()
        with self._explained():
            while line:
                line = line[self._file.write(line) :]

    def flush(self) -> None:
        """Makes the lines so far durable: they are not to be lost where a checkpoint is kept."""
        with self._explained():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


@register("logger", LoggerConfig)
def build(
    config: LoggerConfig, *, metrics_path: Path, tensorboard_dir: Path, resume_step: int | None
) -> JsonlLog:
    """Returns the log of metrics.jsonl alone."""
    return JsonlLog(metrics_path, resume_step)


def cut_after(path: Path, step: int) -> None:
    """Drops lines of later steps, and a last line that a kill tore."""
    from ftcli.checkpoint.commit import write_atomic

    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("step", math.inf) <= step:
            kept.append(line + "\n")
    write_atomic(path, "".join(kept))


def _strict(value: Any) -> Any:
    """JSON has no NaN: non-finite numbers become the strings NaN, Infinity and -Infinity."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
