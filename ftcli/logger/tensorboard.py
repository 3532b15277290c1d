"""metrics.jsonl and TensorBoard scalars side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from ftcli.config.registry import register
from ftcli.config.schema import LoggerConfig


@register("logger", LoggerConfig)
class TensorboardLog:
    """Writes each event to metrics.jsonl, and its numbers as scalars named `<event>/<figure>`.

    A resume purges scalars of steps after `resume_step` with TensorBoard's own purge_step.

    Args:
        config: the logger role's.
        metrics_path: metrics.jsonl.
        tensorboard_dir: folder of the event files.
        resume_step: step of the checkpoint that a resume continues; None: a new run.
        resume_events: events that this checkpoint knew of; None: a new run.

    Raises:
        RunDirError: from every method, when the disk is full or cannot be written.
    """

    def __init__(
        self,
        config: LoggerConfig,
        *,
        metrics_path: Path,
        tensorboard_dir: Path,
        resume_step: int | None,
        resume_events: int | None,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        from ftcli.logger.jsonl import JsonlLog
        from ftcli.storage.atomic import explained

        self._explained = partial(explained, tensorboard_dir)
        self._lines = JsonlLog(metrics_path, resume_events)
        purge = None if resume_step is None else resume_step + 1
        with self._explained():
            self._writer = SummaryWriter(str(tensorboard_dir), purge_step=purge)

    def log(self, event: dict[str, Any]) -> None:
        """Writes an event to metrics.jsonl, and its numbers as scalars at its step."""
        self._lines.log(event)
        with self._explained():
            for name, value in event.items():
                inner = value.items() if isinstance(value, dict) else [("", value)]
                for part, number in inner:
                    if (
                        name not in ("event", "step")
                        and isinstance(number, int | float)
                        and not isinstance(number, bool)
                    ):
                        tag = f"{event['event']}/{name}" + (f"/{part}" if part else "")
                        self._writer.add_scalar(tag, number, event["step"])

    def flush(self) -> None:
        """Makes the events so far durable."""
        self._lines.flush()
        with self._explained():
            self._writer.flush()

    def close(self) -> None:
        """Closes the files."""
        self._lines.close()
        with self._explained():
            self._writer.close()
