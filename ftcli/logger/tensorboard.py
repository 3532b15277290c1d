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
        from ftcli.storage.disk import explained

        self._explained = partial(explained, tensorboard_dir)
        self._lines = JsonlLog(metrics_path, resume_events)
        purge = None if resume_step is None else resume_step + 1
        self.messages: list[str] = []
        self._failed = False
        self._threads = _QuietThreads()
        with self._kept():
            self._writer = SummaryWriter(str(tensorboard_dir), purge_step=purge)
        self._threads.all_started()

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
        self._threads.forget()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """A failure of TensorBoard's files stops them alone: metrics.jsonl has the same figures."""
        try:
            with self._explained():
                yield
        except (RunDirError, UnicodeEncodeError) as error:
            if not self._failed:
                self.messages.append(f"{_reason(error)}: TensorBoard gets no more events of this run")
            self._failed = True


def _reason(error: RunDirError | UnicodeEncodeError) -> str:
    if isinstance(error, RunDirError):
        return f"{error.problems[0].key} {error.problems[0].message}"
    return f"{error.object!a:.300} is a name that is not UTF-8"


class _QuietThreads:
    """Keeps tracebacks of the threads that TensorBoard starts here off the terminal: the log's next call raises their error too."""

    def __init__(self) -> None:
        self._others = set(threading.enumerate())
        self._own: set[threading.Thread] | None = None
        self._before = threading.excepthook
        threading.excepthook = self

    def __call__(self, args: threading.ExceptHookArgs) -> None:
        # A thread may fail before all are started, on a full disk at once.
        own = args.thread in self._own if self._own is not None else args.thread not in self._others
        if not (own and isinstance(args.exc_value, OSError)):
            self._before(args)

    def all_started(self) -> None:
        """Takes the threads that are there by now, and were not when this began, as its own."""
        self._own = set(threading.enumerate()) - self._others

    def forget(self) -> None:
        """Puts back the hook that was there before, unless somebody has replaced it since."""
        if threading.excepthook is self:
            threading.excepthook = self._before
