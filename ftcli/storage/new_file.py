"""Files and folders that a user named and that need not be there yet: whether they can be written."""

from __future__ import annotations

import os
from pathlib import Path

from ftcli.errors import Problem, RunDirError

MAX_NAME_BYTES = 255
"""Of one part of a path, on the usual file systems."""


def require_writable(path: Path, *, folder: bool = False) -> None:
    """Raises RunDirError when no file, or no folder, could be written at `path`."""
    target = path.absolute()
    if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in target.parts):
        raise RunDirError(
            Problem(str(path), f"has a name of more than {MAX_NAME_BYTES} bytes", "choose another place")
        )
    if folder and not _is_utf8(target):
        raise RunDirError(
            Problem(
                str(path),
                "has a path that is not UTF-8, and files of weights cannot be read there",
                "choose another place",
            )
        )
    place = next(p for p in (target, *target.parents) if os.path.lexists(p))
    overwritten = place == target and place.is_file() and not folder
    if not (overwritten or place.is_dir()):
        raise RunDirError(
            Problem(
                str(path),
                f"cannot be written: {place} is not writable, it is no folder",
                "choose another place",
            )
        )
    if not os.access(place, os.W_OK if overwritten else os.W_OK | os.X_OK):
        raise RunDirError(
            Problem(str(path), f"cannot be written: {place} is not writable", "choose another place")
        )
    if place == target and place.is_dir() and not folder:
        raise RunDirError(Problem(str(path), "is a folder", "name a file"))


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # Python keeps such bytes of a name as halves of characters
        return False
    return True
