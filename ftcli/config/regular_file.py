"""A small text file read whole: a device, a pipe or a file without end cannot stop the command that reads it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ftcli.errors import ConfigError, FtcliError, Problem

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def kind_of(path: Path) -> str:
    """Returns what a path is that is neither a regular file nor missing: `a folder`, `a pipe`; else ''."""
    try:
        return KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "")  # noqa: PTH116 - Path.stat has the same errors
    except (OSError, ValueError):
        return ""


def exists(path: Path | str) -> bool:
    """Returns whether there is something at a path; False for one that cannot be, such as a name that is too long."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises then


def is_folder(path: Path | str) -> bool:
    """Returns whether there is a folder at a path; False for one that cannot be."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises then


def is_file(path: Path | str) -> bool:
    """Returns whether there is a regular file at a path; False for one that cannot be."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises then


def read_text(path: Path, most: int, *, key: str, error: type[FtcliError] = ConfigError) -> str:
    """Returns a file's text.

    Args:
        path: the file.
        most: bytes it may have.
        key: stands in front of the problem.
        error: class of the error.

    Raises:
        FtcliError: of the class `error`: it is no regular file, cannot be read, is larger or not UTF-8.
    """
    if kind := kind_of(path):
        raise error(Problem(key, f"{path} is {kind}, no file"))
    try:
        # A file may become a pipe between the look and the opening: this opens without waiting for a writer.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:  # noqa: PTH123
            content = file.read(most + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise error(Problem(key, f"{path} cannot be read: {reason}")) from problem
    if len(content) > most:
        raise error(Problem(key, f"{path} has more than the {most} bytes that are read"))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise error(Problem(key, f"{path} is not UTF-8 text: line {line}")) from problem


def expanded(path: str | Path) -> Path:
    """Returns a path with `~` replaced; one of an unknown user stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def absolute(path: str) -> str:
    """Returns a path from the root; one with `~` of an unknown user stays as it is typed."""
    try:
        return str(expanded(path).absolute())
    except (OSError, ValueError):
        return path
