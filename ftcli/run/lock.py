"""The lock of a run directory: one process writes there at a time, and a lock dies with its owner."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ftcli.errors import Problem, RunDirError
from ftcli.storage.disk import disk_error
from ftcli.storage.plain_file import open_lock, open_plain

LOCK = ".lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds a run directory for this process inside the block.

    Raises:
        RunDirError: another process holds it, or nothing can be written there.
    """
    path = folder / LOCK
    try:
        file = open_lock(path)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise disk_error(error.errno, Problem(str(path), message, "choose another place")) from error
    try:
        _take(file, path)
        with suppress(OSError):  # a full disk: the name is for others to read, the lock holds without it
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(file)


def _take(file: int, path: Path) -> None:
    folder = str(path.parent)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(file, 200, 0).decode("utf-8", errors="replace").strip() or "another process"
        problem = Problem(folder, f"is being written by {owner}", "wait for it, or stop it first")
        raise RunDirError(problem) from error
    except OSError as error:
        hint = "choose a file system with locks with --run-dir DIR"
        raise RunDirError(Problem(str(path), f"cannot be locked: {error.strerror}", hint)) from error
    # Between open and lock the owner before us may have deleted the file, and the lock with it.
    if not (path.exists() and os.path.samestat(path.stat(), os.fstat(file))):
        raise RunDirError(
            Problem(folder, "was given up by another process just now", "type the command again")
        )


def is_held(folder: Path) -> bool:
    """Returns whether a process holds a run directory now; takes the lock for an instant, shared with others who ask."""
    try:
        file = open_plain(folder / LOCK)
    except OSError:  # no lock, or none of ours
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)
    return False
