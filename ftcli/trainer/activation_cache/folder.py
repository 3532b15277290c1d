"""The folder of cached activations: entries that are verified, locked while they are read, and evicted when it is full.

An entry's file carries a shared lock (flock) as long as a process reads it, and only what nobody has locked is ever
removed. Where a file system has no locks, entries are read all the same and nothing is removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ftcli.batching.token_table import TokenTable
from ftcli.console.units import size_text
from ftcli.errors import CheckpointError
from ftcli.storage.atomic import commit, discard
from ftcli.storage.crash_points import crash_point
from ftcli.storage.disk import explained
from ftcli.storage.manifest import verify
from ftcli.storage.temporary import STAGE, TRASH, sweep
from ftcli.trainer.activation_cache.states import Shape, States

FILE = "states.bin"


@dataclass(slots=True, kw_only=True)
class StatesFolder:
    """Entries by their keys, at most `limit_bytes` of them besides what running processes read."""

    path: Path
    limit_bytes: int
    note: Callable[[str], None]

    def open(self, num_bytes: int) -> None:
        """Makes the folder, removes what killed fills left in it, and makes room for so many bytes.

        Raises:
            RunDirError: it cannot be made.
        """
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        sweep(self.path)
        self.make_room(num_bytes)

    def make_room(self, num_bytes: int) -> None:
        """Removes the entries that were not read for longest, until so many more bytes keep to the limit and the disk.

        What is being written by others counts. Nothing that a process reads goes, so the limit may be exceeded.
        """
        found = sorted(_entries(self.path), key=lambda entry: entry[1])
        total, free = sum(size for _, _, size in found), shutil.disk_usage(self.path).free
        removed: list[int] = []
        if num_bytes > free + total:
            return  # it will not fit, however much goes
        for entry, _, size in found:
            if total + num_bytes <= self.limit_bytes and num_bytes <= free:
                break
            if entry.name.startswith(STAGE) or not _remove_unused(entry):
                continue
            removed.append(size)
            total, free = total - size, free + size
        if removed:
            number = f"{len(removed)} entries" if len(removed) > 1 else "1 entry"
            self.note(
                f"frozen prefix: {number} ({size_text(sum(removed))}) of earlier runs, not read for longest, removed "
                f"from {self.path} (trainer.prefix_cache_gib={self.limit_bytes / 2**30:.3g} is what it may hold)"
            )

    def read(self, key: str, shape: Shape, table: TokenTable) -> States | None:
        """Returns the states of an entry, or None where there is none, or a damaged one, which is deleted."""
        entry = self.path / key
        descriptor = _locked(entry)
        if descriptor is None:
            return None
        try:
            verify(entry)
            states = States(_mapped(entry / FILE, shape, table), shape, table)
            with suppress(OSError):
                os.utime(entry)
        except (CheckpointError, OSError, ValueError):
            os.close(descriptor)
            self.note(f"frozen prefix: what was kept in {entry} is damaged and is computed again")
            with suppress(OSError):  # another process was first
                discard(entry)
            return None
        weakref.finalize(states, os.close, descriptor)
        return states

    @contextmanager
    def staged(self, key: str, shape: Shape, table: TokenTable) -> Iterator[States]:
        """Yields states in a file that becomes part of an entry when the block ends well.

        Raises:
            RunDirError: the disk is full or cannot be written.
            CheckpointError: the entry is there.
        """
        size = shape.num_bytes(table)
        with commit(self.path / key, num_bytes=size) as stage:
            descriptor = os.open(stage / FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                _lock_shared(descriptor)
                if size:
                    # A disk that fills up later would end the process at the store of a byte.
                    (getattr(os, "posix_fallocate", None) or _extend)(descriptor, 0, size)
                states = States(_mapped(stage / FILE, shape, table, writable=True), shape, table)
            except BaseException:
                os.close(descriptor)
                raise
            # The file has its final name only later; its mapping and its lock stay good.
            weakref.finalize(states, os.close, descriptor)
            yield states


def _entries(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Yields (entry or stage, when it was last read, its bytes)."""
    for entry in folder.iterdir():
        with suppress(OSError):  # gone meanwhile
            if entry.is_dir() and not entry.name.startswith(TRASH):
                yield entry, entry.stat().st_mtime, sum(file.stat().st_size for file in entry.iterdir())


def _remove_unused(entry: Path) -> bool:
    """Removes an entry unless a process reads it; returns whether it is gone."""
    try:
        descriptor = os.open(entry / FILE, os.O_RDONLY)
    except FileNotFoundError:
        return not entry.exists()
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), (entry / FILE).stat()):
            return False  # another process put a new entry in its place
        crash_point("evict")
        discard(entry)
    except FileNotFoundError:
        return True
    except OSError:  # read by someone, no locks here, or not ours to remove
        return False
    finally:
        os.close(descriptor)
    return True


def _locked(entry: Path) -> int | None:
    """Returns a descriptor that keeps an entry from being removed, or None where there is none or it goes just now."""
    try:
        # A folder without its file is damaged, which `verify` finds.
        file = entry / FILE if (entry / FILE).exists() else entry
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return None
    try:
        _lock_shared(descriptor)
        if os.path.samestat(os.fstat(descriptor), file.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _lock_shared(descriptor: int) -> None:
    """Locks a file against removal, where the file system has locks.

    Raises:
        BlockingIOError: it is being removed.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass


def _mapped(file: Path, shape: Shape, table: TokenTable, *, writable: bool = False) -> torch.Tensor:
    size = shape.num_bytes(table)
    if not size:
        return torch.empty((0, shape.hidden), dtype=shape.dtype)
    # Mapped copy-on-write when read, for torch has no read-only tensors.
    array: Any = np.memmap(file, np.uint8, "r+" if writable else "c", shape=(size,))
    return torch.from_numpy(array).view(shape.dtype).view(-1, shape.hidden)


def _extend(descriptor: int, start: int, size: int) -> None:
    """Gives a file its size where the system cannot reserve it."""
    os.truncate(descriptor, start + size)
