"""Runs of ftcli as forked processes: the libraries are imported once, each run is a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

TRACEBACK = "Traceback (most recent call last)"


def warm_up() -> None:
    """Imports what a run imports, so that forks start at once; starts no threads."""
    import datasets  # noqa: F401
    import matplotlib.font_manager  # noqa: F401 - it asks fc-list for the machine's fonts where no cache of them is
    import peft  # noqa: F401
    import torch  # noqa: F401
    import torchmetrics.regression  # noqa: F401
    import transformers
    import transformers.models.auto.modeling_auto
    import transformers.models.auto.tokenization_auto
    import transformers.models.bert.modeling_bert  # noqa: F401

    import ftcli.cli.app
    import ftcli.trainer.trainer  # noqa: F401


def start(
    arguments: list[str],
    log: Path,
    cache: Path,
    *,
    environment: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> int:
    """Forks a process that runs ftcli; returns its pid.

    Args:
        arguments: its words.
        log: both streams are appended here.
        cache: its cache folder.
        environment: variables besides those of this process.
        before: called in the child, before ftcli.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        redirect(log)
        os.environ |= {"FTCLI_CACHE": str(cache), "COLUMNS": "400"} | (environment or {})
        if before is not None:
            before()
        code = call(arguments)
    finally:
        os._exit(code)


def redirect(log: Path) -> None:
    """Appends both streams of this process to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def call(arguments: list[str]) -> int:
    """Runs ftcli in this process; returns the exit code, 70 with a traceback printed where it raised."""
    code = 70
    sys.argv = ["ftcli", *arguments]
    try:
        from ftcli.cli.app import main

        main()
        code = 0
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1 if stopped.code else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def wait(pid: int, *, seconds: float | None = None) -> int:
    """Returns the exit code, negative for a signal; a process that takes longer is killed."""
    if seconds is not None:
        ends = time.monotonic() + seconds
        while not ended(pid) and time.monotonic() < ends:
            time.sleep(0.005)
        if not ended(pid):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def ended(pid: int) -> bool:
    """Returns whether a child has ended; does not reap it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def text_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
