"""Files that were there before this process are opened here: plain ones of a bounded size, in UTF-8, and nothing else.

A run directory may come from somebody else. A FIFO in it would block its reader for ever, a device never end, and a
link lead out of it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ftcli.storage.temporary import stage_of

KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
         (stat.S_ISBLK, "a device"))  # fmt: skip


class NotPlainError(OSError):
    """Something other than a plain file of a size that its content may have; its text says which."""


def open_plain(path: Path, *, max_bytes: int | None = None) -> int:
    """Opens a plain file for reading; returns its descriptor.

    Args:
        path: the file; folders on the way may be links, the file itself not.
        max_bytes: a larger file is refused; None: any size.

    Raises:
        NotPlainError: it is a link, a folder, a FIFO, a socket, a device, or too large.
        OSError: there is none, or it cannot be opened.
    """
    # A link is found by lstat, not by the error of O_NOFOLLOW, which differs between systems. O_NONBLOCK: a FIFO opens.
    refuse_special(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):  # replaced since the look above
        os.close(descriptor)
        raise NotPlainError("it is no plain file")
    if max_bytes is not None and found.st_size > max_bytes:
        os.close(descriptor)
        raise NotPlainError(f"it has {found.st_size:,} bytes, and at most {max_bytes:,} are read")
    return descriptor


def refuse_special(path: Path) -> None:
    """Raises NotPlainError where a path is a link or anything else that is no plain file.

    Raises:
        OSError: there is nothing at the path, or it cannot be looked at.
    """
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise NotPlainError(f"it is a link to {path.readlink()}, and the files of a run are plain files")
    for test, words in KINDS:
        if test(mode):
            raise NotPlainError(f"it is {words}, not a plain file")


def read_plain_text(path: Path, max_bytes: int) -> str:
    """Returns the text of a plain file.

    Raises:
        NotPlainError: as `open_plain`.
        OSError: there is none, or it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    with os.fdopen(open_plain(path, max_bytes=max_bytes), "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:  # it grew since it was opened
        raise NotPlainError(f"it has more than {max_bytes:,} bytes")
    return content.decode("utf-8")


def open_to_append(path: Path) -> int:
    """Opens a plain file for appending, made where there is none; returns its descriptor.

    A file with a second name (`cp -al` of the folder) is copied first, so that the other name keeps its content.

    Raises:
        NotPlainError: a link, a folder, a FIFO, a socket or a device is in its place.
        OSError: it cannot be opened or made.
    """
    if os.path.lexists(path):
        refuse_special(path)
        if path.stat().st_nlink > 1:
            _separate(path)
    return os.open(
        path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666
    )


def open_lock(path: Path) -> int:
    """Opens a lock file for reading and writing, made where there is none; returns its descriptor.

    Raises:
        NotPlainError: a link, a folder, a FIFO, a socket or a device is in its place.
        OSError: it cannot be opened or made.
    """
    if os.path.lexists(path):
        refuse_special(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def write_all(descriptor: int, content: bytes) -> None:
    """Writes all bytes, or none: what a full disk took of them is cut off again.

    Raises:
        OSError: they could not be written.
    """
    begun = os.fstat(descriptor).st_size
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        os.ftruncate(descriptor, begun)
        raise


def _separate(path: Path) -> None:
    copy = stage_of(path)
    try:
        copy.unlink(missing_ok=True)
        shutil.copy2(path, copy)
        copy.replace(path)
    finally:
        copy.unlink(missing_ok=True)


def links_and_devices(folder: Path, allowed: frozenset[str]) -> Iterator[Path]:
    """Yields what lies in a folder, at any depth, and is neither a plain file nor a folder.

    Args:
        folder: where to look; it may be a link itself.
        allowed: names such as `checkpoints/best`, with that of the folder they lie in, of links to what lies beside them.
    """
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                continue
            beside = stat.S_ISLNK(mode) and path.readlink().parts == (path.readlink().name,)
            if not (beside and "/".join(path.parts[-2:]) in allowed):
                yield path
