"""Where a command writes: what may not be replaced, and a file that appears whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ftcli.console.console import utf8_stdout
from ftcli.errors import ConfigError, Problem, typed_words
from ftcli.run.run_dir import RunDir
from ftcli.storage.atomic import write_atomic
from ftcli.storage.disk import disk_error
from ftcli.storage.new_file import require_writable
from ftcli.storage.plain_file import open_plain
from ftcli.storage.temporary import is_alive

TEMPORARY = ".output-"
LEFTOVER = re.compile(r"\.output-(\d{1,10})-[0-9a-f]{8}")
FORMATS = (".jsonl", ".tsv", ".csv")
PICTURES = (".png", ".svg")


def format_of(target: str, key: str) -> str:
    """Returns the suffix that says how to write a file; stdout, `-`, gets jsonl.

    Args:
        target: a file, or `-`.
        key: the flag that names it, for messages.

    Raises:
        ConfigError: the suffix is not one of FORMATS.
    """
    suffix = ".jsonl" if target == "-" else Path(target).suffix
    if suffix not in FORMATS:
        expected = f"expected one of {', '.join(FORMATS)}" + (", or -" if key == "--output" else "")
        raise ConfigError(Problem(key, f"{suffix or 'no suffix'!r} is not a format", expected))
    return suffix


def refuse_existing(target: str | Path, key: str, *, force: bool) -> None:
    """Refuses to write where a file would be lost: over one that exists, unless `force`, or into a run.

    A link is never written through, nor replaced: the file it names may be anybody's. A pipe or a device would be
    replaced by a plain file, because the output is renamed into its place.

    Args:
        target: a file, or `-` for stdout.
        key: the flag that names it, for messages.
        force: an existing plain file may be replaced.

    Raises:
        ConfigError: the target is a link, no plain file, a file of a run, or exists.
    """
    if str(target) == "-":
        return
    path = Path(target)
    try:
        problem = _problem(path, key, force=force)
    except (OSError, ValueError) as error:  # a name that no file system takes
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problem = Problem(key, f"{target} cannot be written: {reason}", "choose another place")
    if problem is not None:
        raise ConfigError(problem)


def require_picture(path: Path) -> None:
    """Refuses a path that no picture can be written to; one of these names that is there is replaced.

    Raises:
        ConfigError: another suffix than .png and .svg, a link, no plain file, or a file of a run.
        RunDirError: a folder on the way is none, or nothing may be written there.
    """
    if path.suffix not in PICTURES:
        message = f"{path.suffix or 'no suffix'!r} is not a format of pictures"
        raise ConfigError(Problem("--output", message, f"expected one of {', '.join(PICTURES)}"))
    refuse_existing(path, "--output", force=True)
    require_writable(path)


@contextmanager
def drawing(path: Path) -> Iterator[None]:
    """Makes the folder of a picture; an error of the disk inside the block names the file.

    Raises:
        RunDirError: the picture cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        problem = Problem(
            "--output", f"{path} cannot be written: {error.strerror or error}", "choose another place"
        )
        raise disk_error(error.errno, problem) from error


def _problem(path: Path, key: str, *, force: bool) -> Problem | None:
    if path.is_symlink():
        aim = os.path.realpath(path)
        hint = f"name the file itself: {key} {typed_words(aim)}"
        return Problem(key, f"{path} is a link to {aim}, and links are not written through", hint)
    if path.is_dir():
        hint = f"name a file in it: {key} {typed_words(path / 'predictions.jsonl')}"
        return Problem(key, f"{path} is a folder", hint)
    if os.path.lexists(path) and not path.is_file():
        hint = f"write to stdout: {key} - > {typed_words(path)}"
        return Problem(key, f"{path} is a pipe or a device, which a file would replace", hint)
    if (run := _run_around(path)) is not None:
        return Problem(key, f"{path} lies in the run directory {run}", "choose a place outside of it")
    if path.is_file() and not force:
        hint = "name another file, or add --force to replace it"
        return Problem(key, f"{path} exists already, and would be replaced", hint)
    return None


def _run_around(path: Path) -> Path | None:
    """Returns the run directory that a path lies in, links in its folders followed; None outside of runs."""
    folders = Path(os.path.realpath(path)).parents
    return next((f for f in folders if RunDir(f).config_yaml.is_file() and _is_run(f)), None)


def _is_run(folder: Path) -> bool:
    """A config.yaml alone may be anybody's; a run has one of these beside it."""
    run = RunDir(folder)
    return any(file.exists() for file in (run.command_txt, run.plan_json, run.checkpoints))


@contextmanager
def opened(target: str, key: str = "--output") -> Iterator[TextIO]:
    """Yields stdout, or a file that appears under its name only when the block ends without an error.

    Args:
        target: a file, or `-`.
        key: the flag that names it, for messages.

    Raises:
        RunDirError: the file cannot be written.
    """
    if target == "-":
        yield utf8_stdout()
        return
    path = Path(target)
    # A name nobody can guess, opened as new: in a shared folder a link under a known name could lie in wait.
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        sweep_outputs(path.parent)
        with temporary.open("x", encoding="utf-8", newline="") as file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
        temporary.replace(path)
    except OSError as error:
        problem = Problem(key, f"{target} cannot be written: {error.strerror}", "choose another place")
        raise disk_error(error.errno, problem) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_new_text(path: Path, text: str) -> None:
    """Writes a file the user named; folders on the way are made."""
    require_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)


def sweep_outputs(folder: Path) -> None:
    """Removes what killed commands left of their outputs: files of dead processes of this user that no process holds."""
    for path in folder.glob(f"{TEMPORARY}*"):
        found = LEFTOVER.fullmatch(path.name)
        if found is None or is_alive(int(found.group(1))):
            continue
        with suppress(OSError):  # somebody else's, or gone: in nobody's way
            if path.lstat().st_uid == os.getuid():
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    """Removes a plain file unless a process holds its lock, also one on another machine."""
    descriptor = open_plain(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)
