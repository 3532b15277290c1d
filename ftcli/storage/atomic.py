"""The commit protocol: stage, fsync, hashed manifest, rename.

A folder under its final name is complete; whatever a kill leaves behind carries another name (`temporary.py`).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ftcli.errors import CheckpointError, Problem
from ftcli.storage.crash_points import crash_point
from ftcli.storage.disk import explained, fsync
from ftcli.storage.manifest import seal
from ftcli.storage.temporary import TRASH, stage_of


@contextmanager
def commit(final: Path, *, about: dict[str, Any] | None = None, num_bytes: int = 0) -> Iterator[Path]:
    """Yields a stage folder that becomes `final` when the block ends well, and vanishes otherwise.

    Args:
        final: the folder to make.
        about: plain values for the manifest, which `verify` returns.
        num_bytes: what the block will write; refused before it begins when it cannot fit.

    Raises:
        RunDirError: the disk is full or the folder cannot be written; nothing is left behind.
        CheckpointError: `final` exists already.
    """
    if final.exists():
        raise CheckpointError(Problem(str(final), "exists already"))
    stage = stage_of(final)
    try:
        with explained(final, num_bytes):
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir(parents=True)
            if shutil.disk_usage(stage).free < num_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield stage
            share(stage.iterdir())
            seal(stage, about or {})
            crash_point("before-rename")
            stage.rename(final)
            crash_point("after-rename")
            fsync(final.parent)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def discard(folder: Path) -> None:
    """Deletes a folder that others may be reading: moved away whole first, so that nobody sees half of it."""
    trash = folder.with_name(f"{TRASH}{folder.name}-{os.getpid()}")
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def replace_link(link: Path, target: str) -> None:
    """Points the relative link at `target` by renaming a temporary one over it.

    Raises:
        RunDirError: the link cannot be written.
    """
    temporary = stage_of(link)
    try:
        with explained(link):
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            temporary.replace(link)
            fsync(link.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def utf8(text: str) -> bytes:
    """Returns the bytes of a text: what UTF-8 cannot hold is an escape such as `\\udce9`, by which JSON and YAML mean the same.

    File names whose bytes are not UTF-8 and JSON's halves of characters make such text; its file stays readable.
    """
    return text.encode("utf-8", errors="backslashreplace")


def write_atomic(path: Path, text: str) -> None:
    """Writes a file so that readers see the old text or the new one, never a part.

    Raises:
        RunDirError: the file cannot be written.
    """
    temporary = stage_of(path)
    content = utf8(text)
    try:
        with explained(path, len(content)):
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            fsync(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def share(paths: Iterable[Path]) -> None:
    """Gives files the mode that new ones have here: safetensors writes its own for the owner alone."""
    os.umask(mask := os.umask(0o077))
    for path in paths:
        path.chmod(0o666 & ~mask)
