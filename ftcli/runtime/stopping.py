"""Signals outside of the training loop: a command ends with 128 + the signal's number and one line, not with a traceback."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1")
"""Beside SIGINT, which Python raises as KeyboardInterrupt."""


class Stopped(BaseException):
    """A signal came; like KeyboardInterrupt it is no Exception, so that nothing on the way takes it for an error."""

    def __init__(self, signum: int) -> None:
        self.exit_code = 128 + signum
        super().__init__(signal.Signals(signum).name)


def caught(names: tuple[str, ...]) -> list[int]:
    """Returns the signals of these names that this system has; SIGHUP is left alone where it is ignored, as under nohup."""
    found = [getattr(signal, name) for name in names if hasattr(signal, name)]
    hang_up = getattr(signal, "SIGHUP", None)
    return [number for number in found if number != hang_up or signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def raising_stopped() -> Iterator[None]:
    """Inside the block SIGTERM, SIGHUP and SIGUSR1 raise Stopped; the training loop takes them over for its own time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _raise) for number in caught(NAMES)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _raise(signum: int, frame: FrameType | None) -> None:
    raise Stopped(signum)
