"""Names of what is not whole yet or half deleted, and the removal of what killed processes left under them."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

STAGE, TRASH = ".stage-", ".trash-"


def stage_of(final: Path) -> Path:
    """Returns the name under which this process writes what will be `final`."""
    return final.parent / f"{STAGE}{final.name}-{os.getpid()}"


def sweep(parent: Path, *, alone: bool = False) -> None:
    """Removes stages, temporary files and half-deleted folders that killed processes left.

    Args:
        parent: the folder to clean.
        alone: the caller holds a lock on the folder, so that nothing there is of a living process,
            also where a dead one's process id is in use again.
    """
    for leftover in [*parent.glob(f"{STAGE}*"), *parent.glob(f"{TRASH}*")]:
        if alone or leftover.name.startswith(TRASH) or not has_owner(leftover):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
                continue
            with suppress(OSError):  # of no use, but in nobody's way
                leftover.unlink(missing_ok=True)


def has_owner(stage: Path) -> bool:
    """Returns whether the process that a stage is named after is another one that lives.

    Our own process id is a dead process's too: in a container every run may be process 1.
    """
    owner = stage.name.rpartition("-")[2]
    return owner.isdecimal() and int(owner) != os.getpid() and is_alive(int(owner))


def is_alive(process: int) -> bool:
    """Returns whether there is a process of this id, anybody's."""
    try:
        os.kill(process, 0)
    except PermissionError:  # another user's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
