"""The disk: bytes made durable, the room that is left, and its errors in words."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftcli.errors import DISK_FAILS, DISK_FULL, DiskError, NoRoomError, Problem, RunDirError


def fsync(path: Path) -> None:
    """Makes a file's bytes or a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_room(folder: Path, num_bytes: int) -> None:
    """Refuses a disk on which a folder that may not be there yet has no room for so many bytes.

    Raises:
        DiskError: names both numbers.
    """
    free = _free_bytes(folder)
    if free < num_bytes:
        message = f"has no room for one checkpoint: {num_bytes:,} bytes are needed and {free:,} are free"
        raise DiskError(
            Problem(str(folder), message, "free space; a new run goes elsewhere with --run-dir DIR")
        )


@contextmanager
def explained(path: Path, num_bytes: int = 0) -> Iterator[None]:
    """Turns an error of the disk into one that names the path and the bytes that were needed.

    Args:
        path: what is written.
        num_bytes: how much; 0: not known.

    Raises:
        DiskError: the disk is full, read-only or failing.
        RunDirError: whatever else failed to be written inside the block.
    """
    from safetensors import SafetensorError

    try:
        yield
    except Exception as error:
        # Libraries in Rust report a full disk with exceptions of their own, tokenizers with a plain one; the number is in the text.
        known = isinstance(error, OSError | SafetensorError) or type(error) is Exception
        number = error.errno if isinstance(error, OSError) else _os_error_number(error) if known else None
        if number is None:
            raise
        reason = os.strerror(number)
        if number == errno.ENOMEM:
            hint = "what was there before is untouched: make room in memory and type the command again"
            raise NoRoomError(Problem(str(path), f"cannot be written: {reason}", hint)) from error
        if number in DISK_FULL:
            needed = f"{num_bytes:,} bytes are needed and " if num_bytes else ""
            message = f"does not fit on the disk: {needed}{_free_bytes(path):,} are free ({reason})"
            problem = Problem(str(path), message, "free space and type: ftcli resume RUN")
        else:
            problem = Problem(
                str(path), f"cannot be written: {reason}", "choose another place with --run-dir DIR"
            )
        raise disk_error(number, problem) from error


def disk_error(number: int | None, problem: Problem) -> RunDirError:
    """Returns the error for what cannot be written: its exit code is 1 where the disk is at fault, else 2.

    Args:
        number: `errno` of the failure.
        problem: what to say.
    """
    return DiskError(problem) if number in (*DISK_FULL, *DISK_FAILS) else RunDirError(problem)


def _os_error_number(error: Exception) -> int | None:
    found = re.search(r"os error (\d+)", str(error))
    return int(found.group(1)) if found else None


def _free_bytes(path: Path) -> int:
    place = next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())
    return shutil.disk_usage(place).free
