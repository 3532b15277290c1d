"""A trace of a few training steps: torch.profiler on a window after the first steps, which are not like the others."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftcli.errors import RunDirError
from ftcli.storage.disk import explained

WAIT, WARMUP, ACTIVE = 10, 1, 5
"""Steps before the window, steps in which the profiler itself warms up, steps of the trace."""
PREFIX = "ftcli: "
"""Of the names of our own ranges in the trace."""
TRACE = "trace.json"
MAX_OPERATORS = 15


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator's share of the window; seconds are its own, without those it calls."""

    name: str
    calls: int
    cpu_seconds: float
    device_seconds: float


class Window:
    """Records steps WAIT + WARMUP + 1 and the following, earlier where a run is shorter.

    Args:
        folder: where trace.json goes.
        device: `cpu` or what kernels run on.

    Raises:
        RunDirError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self.operators: list[Operator] = []
        self.steps: tuple[int, int] | None = None
        """First and last step of the trace, counted from 1 within this session."""
        self.error: RunDirError | None = None
        """Why there is no trace; a run that can train goes on without one."""
        self._profiler: Any = None
        self._step = 0
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name in (TRACE, "table.md", "profile.json"):
                (folder / name).unlink(missing_ok=True)
            self._temporary.touch()

    @property
    def _temporary(self) -> Path:
        return self.folder / f".stage-trace-{os.getpid()}.json"

    def begin(self, left: int) -> None:
        """Plans the window in the `left` steps to come; fewer than two give none."""
        import torch.profiler as torch_profiler

        if left <= WARMUP:
            return
        active = min(ACTIVE, left - WARMUP)
        self._first = min(WAIT, left - WARMUP - active) + WARMUP
        kinds = [torch_profiler.ProfilerActivity.CPU]
        if self.device == "cuda":
            kinds.append(torch_profiler.ProfilerActivity.CUDA)
        self._profiler = torch_profiler.profile(
            activities=kinds,
            schedule=torch_profiler.schedule(
                wait=self._first - WARMUP, warmup=WARMUP, active=active, repeat=1
            ),
            on_trace_ready=self._write,
        )
        self._profiler.start()

    def advance(self) -> None:
        self._step += 1
        if self._profiler is not None:
            self._profiler.step()

    def end(self) -> None:
        """Ends the window where it stands; what was recorded of it is written."""
        profiler, self._profiler = self._profiler, None
        if profiler is not None:
            profiler.stop()
        self._temporary.unlink(missing_ok=True)

    def range(self, name: str) -> AbstractContextManager[Any]:
        """Returns a context that is a named range of the trace, where one is being recorded."""
        if self._profiler is None or self.steps is not None or self._step < self._first:
            return nullcontext()
        import torch

        return torch.profiler.record_function(PREFIX + name)

    def _write(self, profiler: Any) -> None:
        """Called by torch when the window is over."""
        if self._step <= self._first:
            return
        try:
            self._export(profiler)
            self.steps = self._first + 1, self._step
        except RunDirError as error:
            self.error = error
        found = [
            Operator(e.key, e.count, e.self_cpu_time_total / 1e6, e.self_device_time_total / 1e6)
            for e in profiler.key_averages()
            # Kernels are listed once more by themselves; their time is the operator's that launched them.
            if e.device_type.name == "CPU" and not e.key.startswith((PREFIX, "ProfilerStep"))
        ]
        found.sort(key=lambda one: (one.device_seconds, one.cpu_seconds), reverse=True)
        self.operators = found[:MAX_OPERATORS]

    def _export(self, profiler: Any) -> None:
        with explained(self.folder / TRACE):
            profiler.export_chrome_trace(str(self._temporary))
            # torch only logs what it could not write.
            if not (self._temporary.is_file() and self._temporary.stat().st_size):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._temporary.replace(self.folder / TRACE)
