"""Signals outside of the training loop: a command ends with 128 + the signal's number and one line, not with a traceback."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1")
"""Beside SIGINT, which Python raises as KeyboardInterrupt."""

AGAIN_S = 0.01
"""Seconds after which a signal that was dropped is sent once more."""


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
    reported = sys.unraisablehook
    sys.unraisablehook = partial(_again, reported)
    try:
        yield
    finally:
        sys.unraisablehook = reported
        for number, handler in previous.items():
            signal.signal(number, handler)


def _again(reported: Callable[[sys.UnraisableHookArgs], object], args: sys.UnraisableHookArgs) -> None:
    """Sends a signal once more that came while an object was finalized, where Python drops every exception."""
    error = args.exc_value
    if isinstance(error, Stopped | KeyboardInterrupt):
        number = error.exit_code - 128 if isinstance(error, Stopped) else signal.SIGINT
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), number)).start()
    else:
        reported(args)


def _raise(signum: int, frame: FrameType | None) -> None:
    raise Stopped(signum)
