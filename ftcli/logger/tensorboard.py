"""metrics.jsonl and TensorBoard scalars side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ftcli.config.registry import register
from ftcli.config.schema import LoggerConfig
from ftcli.errors import RunDirError


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
        RunDirError: from every method, when metrics.jsonl cannot be written.
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
        self.messages: list[str] = []
        self._failed = False
        _quiet_writer_threads()
        with self._kept():
            self._writer = SummaryWriter(str(tensorboard_dir), purge_step=purge)

    def log(self, event: dict[str, Any]) -> None:
        """Writes an event to metrics.jsonl, and its numbers as scalars at its step."""
        self._lines.log(event)
        with self._kept():
            if self._failed:
                return
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
        with self._kept():
            if not self._failed:
                self._writer.flush()

    def close(self) -> None:
        """Closes the files."""
        self._lines.close()
        with self._kept():
            if not self._failed:
                self._writer.close()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """A failure of TensorBoard's files stops them alone: metrics.jsonl has the same figures."""
        try:
            with self._explained():
                yield
        except RunDirError as error:
            if not self._failed:
                problem = error.problems[0]
                self.messages.append(
                    f"{problem.key} {problem.message}: TensorBoard gets no more events of this run"
                )
            self._failed = True


def _quiet_writer_threads() -> None:
    """Keeps the traceback of TensorBoard's own thread off the terminal: its error is raised here too, by the next call."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, OSError) and type(args.thread).__name__ == "_AsyncWriterThread"):
            before(args)

    if getattr(before, "__name__", "") != "hook":
        threading.excepthook = hook
