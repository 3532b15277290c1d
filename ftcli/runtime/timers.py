"""Where a command's time goes: wall seconds of named sections, each without the sections inside it.

The sections add up to the whole because there is one mark that moves on: whatever happens between two moments belongs
to exactly one section, and what no section claims is `other`. Without --profile `OFF` stands in, which times nothing.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftcli.runtime.trace import Window


class Section(Enum):
    """What time is spent on, in the order of a run; the value is its name in the profile."""

    imports = "imports and composing"
    data = "reading data and tokenising"
    model = "loading the model"
    contract = "proving the data contract"
    building = "building"
    activation_fill = "computing kept activations"
    collate = "collate"
    activation_read = "reading kept activations"
    forward = "forward"
    backward = "backward"
    optimizer = "clipping and optimizer"
    step = "rest of the step"
    evaluation = "evaluation"
    saving = "saving checkpoints"
    logging = "logging and screen"
    closing = "best checkpoint and predictions"
    profiling = "profiling itself"
    other = "other"


STEP = (
    Section.collate,
    Section.activation_read,
    Section.forward,
    Section.backward,
    Section.optimizer,
    Section.step,
)
"""The sections that an optimizer step consists of."""

_NOTHING = nullcontext()


class Clock:
    """Times nothing: what a run without --profile holds."""

    on = False

    def __call__(self, section: Section) -> AbstractContextManager[None]:
        """Returns a context whose time belongs to the section."""
        return _NOTHING

    def begin_steps(self, left: int) -> None:
        """Training begins; at most `left` steps follow."""

    def end_step(self) -> None:
        """An optimizer step is over."""

    def end_steps(self) -> None:
        """Training is over, or was interrupted."""


OFF = Clock()


class RunningClock(Clock):
    """Times the sections of one command.

    Args:
        began: `time.perf_counter()` of the command's beginning; what went before now counts as imports.
    """

    on = True

    def __init__(self, began: float | None = None) -> None:
        now = time.perf_counter()
        self.began = now if began is None else began
        self.seconds: dict[Section, float] = dict.fromkeys(Section, 0.0)
        self.calls: Counter[Section] = Counter()
        self.steps = 0
        self.seconds[Section.imports] = now - self.began
        self.window: Window | None = None
        self._device = "cpu"
        self._mark = now
        self._stack = [Section.other]

    def import_libraries(self) -> None:
        """Imports what every run needs, so that it counts as such and not for what happens to come first."""
        # Else the library behind torch's profiler prints lines of its own on stderr.
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")
        with self(Section.imports):
            import torch  # noqa: F401
            import transformers  # noqa: F401

    def watch(self, device: str, folder: Path) -> None:
        """From now on a section of a run on a GPU ends when its kernels have; a trace will be written.

        Args:
            device: `cpu`, `cuda` or `mps`.
            folder: where trace.json goes.

        Raises:
            RunDirError: the folder cannot be made or written.
        """
        from ftcli.runtime.trace import Window

        self._device = device
        self.window = Window(folder, device)

    def __call__(self, section: Section) -> AbstractContextManager[None]:
        return _Timed(self, section)

    def begin_steps(self, left: int) -> None:
        if self.window is not None:
            with self(Section.profiling):
                self.window.begin(left)

    def end_step(self) -> None:
        self.steps += 1
        if self.window is not None:
            with self(Section.profiling):
                self.window.advance()

    def end_steps(self) -> None:
        if self.window is not None:
            with self(Section.profiling):
                self.window.end()

    def read(self) -> dict[Section, float]:
        """Returns the seconds of each section up to now; their sum is the time since the command began."""
        self._charge()
        return dict(self.seconds)

    def enter(self, section: Section) -> None:
        """A section begins inside the current one."""
        self._charge()
        self._stack.append(section)
        self.calls[section] += 1

    def leave(self) -> None:
        """The innermost section ends."""
        self._charge()
        self._stack.pop()

    def _charge(self) -> None:
        """Gives the time since the mark to the innermost section."""
        # Kernels run behind Python: without waiting, their time would be charged to whatever comes next.
        if self._device != "cpu":
            import torch

            torch.accelerator.synchronize()
        now = time.perf_counter()
        self.seconds[self._stack[-1]] += now - self._mark
        self._mark = now


class _Timed:
    """One stay in a section; while a trace is recorded it is a named range there."""

    def __init__(self, clock: RunningClock, section: Section) -> None:
        self.clock, self.section = clock, section
        self.range: AbstractContextManager[Any] = _NOTHING

    def __enter__(self) -> None:
        self.clock.enter(self.section)
        if self.clock.window is not None and self.section is not Section.profiling:
            self.range = self.clock.window.range(self.section.value)
        self.range.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.range.__exit__(kind, error, trace)
        self.clock.leave()


def process_began() -> float:
    """Returns when this process began, in the time of `time.perf_counter()`; now, where no /proc tells."""
    now = time.perf_counter()
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now
    return now - max(age, 0.0)
