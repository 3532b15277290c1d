"""metrics.jsonl: one strict-JSON line an event; a resume cuts away what came after its step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ftcli.config import LoggerConfig
from ftcli.registry import register


class JsonlLog:
    """Appends events; each line is complete before the next is begun.

    Args:
        path: metrics.jsonl.
        resume_step: keep lines of steps up to this one; None starts with what is there.
    """

    def __init__(self, path: Path, resume_step: int | None) -> None:
        if resume_step is not None and path.exists():
            cut_after(path, resume_step)
        self._file = path.open("a", encoding="utf-8")

    def log(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(_strict(event), allow_nan=False) + "\n")
        self._file.flush()

    def flush(self) -> None:
        self._file.flush()

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
        if event["step"] <= step:
            kept.append(line + "\n")
    write_atomic(path, "".join(kept))


def _strict(value: Any) -> Any:
    """JSON has no NaN: non-finite numbers become the strings NaN, Infinity and -Infinity."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
