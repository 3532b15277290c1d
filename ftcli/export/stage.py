"""A folder that appears under its name whole and proved, or not at all."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftcli.errors import Problem, RunDirError
from ftcli.run.run_dir import expanded_strictly
from ftcli.storage.atomic import share
from ftcli.storage.disk import explained, fsync
from ftcli.storage.new_file import require_writable
from ftcli.storage.temporary import STAGE, has_owner, stage_of


def vacant(folder: Path) -> Path:
    """Returns the folder's whole path; it must be new or empty.

    Raises:
        RunDirError: something is there, or nothing can be written there.
    """
    target = expanded_strictly(folder).absolute()
    require_writable(target, folder=True)
    if target.is_symlink():
        raise RunDirError(Problem(str(folder), "is a link", "name the folder itself"))
    if target.is_dir() and any(target.iterdir()):
        raise RunDirError(Problem(str(folder), "is not empty", "choose a new or empty folder"))
    return target


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yields a folder beside `target` that takes its name when the block ends well, and vanishes otherwise.

    Raises:
        RunDirError: the disk is full or cannot be written; nothing is left behind.
    """
    stage = stage_of(target)
    try:
        with _reworded(target):
            for leftover in target.parent.glob(f"{STAGE}{glob.escape(target.name)}-*"):
                if leftover.name.rpartition("-")[2].isdecimal() and not has_owner(leftover):
                    shutil.rmtree(leftover, ignore_errors=True)
            stage.mkdir(parents=True)
            yield stage
            share(path for path in stage.rglob("*") if path.is_file())
            for path in stage.rglob("*"):
                fsync(path)
            fsync(stage)
            stage.rename(target)
            fsync(target.parent)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _reworded(target: Path) -> Iterator[None]:
    """Gives the error of a full or read-only disk the hint that helps here."""
    try:
        with explained(target):
            yield
    except RunDirError as error:
        hint = "free space, or choose another folder"
        raise type(error)(*(Problem(p.key, p.message, hint) for p in error.problems)) from error
