"""The commit protocol: stage, fsync, hashed manifest, rename.

A folder under its final name is complete; whatever a kill leaves behind carries another name. The
manifest finds flipped bits and truncations, which neither safetensors nor JSON would notice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ftcli.errors import DISK_FAILS, DISK_FULL, CheckpointError, DiskError, NoRoomError, Problem, RunDirError
from ftcli.storage.crash_points import crash_point
from ftcli.storage.plain_file import read_plain_text

MANIFEST = "manifest.json"
FORMAT = 1
STAGE, TRASH = ".stage-", ".trash-"
SEALERS = 4
"""Threads that hash a stage's files and wait for the disk."""
MAX_MANIFEST_BYTES = 2**24


class UnknownFormatError(CheckpointError):
    """Written by another version of ftcli: not damaged, so nothing older may take its place."""


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
    stage = _temporary(final)
    try:
        with explained(final, num_bytes):
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir(parents=True)
            if shutil.disk_usage(stage).free < num_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            yield stage
            _seal(stage, about or {})
            crash_point("before-rename")
            stage.rename(final)
            crash_point("after-rename")
            fsync(final.parent)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def verify(folder: Path, *, hashes: bool = True) -> dict[str, Any]:
    """Reads every file back against its manifest and returns the manifest.

    Args:
        folder: what `commit` made.
        hashes: False right after the commit, which hashed the bytes as they read back: sizes are enough then.

    Raises:
        CheckpointError: names the file and what is wrong with it.
    """
    manifest = _read_manifest(folder)
    for name, stated in manifest["files"].items():
        verify_file(folder, name, stated, hashes=hashes)
    return manifest


def verify_file(folder: Path, name: str, stated: dict[str, Any], *, hashes: bool = True) -> None:
    """Compares one file with what its manifest states of it.

    Args:
        folder: where it lies.
        name: of the file.
        stated: `size` in bytes and `sha256`.
        hashes: False: compare the size alone.

    Raises:
        CheckpointError: names the file and what is wrong with it.
    """
    path = folder / name
    try:
        if Path(name).name != name or path.is_symlink() or not path.is_file():
            raise CheckpointError(Problem(str(path), "is missing or is no plain file"))
        size = path.stat().st_size
        if size != stated["size"]:
            raise CheckpointError(Problem(str(path), f"has {size} bytes, its manifest says {stated['size']}"))
        if hashes and file_sha256(path) != stated["sha256"]:
            raise CheckpointError(Problem(str(path), "differs from the sha256 in its manifest"))
    except OSError as error:  # a failing disk, or no permission
        raise CheckpointError(Problem(str(path), f"cannot be read: {error.strerror}")) from error


def sweep(parent: Path, *, alone: bool = False) -> None:
    """Removes stages, temporary files and half-deleted folders that killed processes left.

    Args:
        parent: the folder to clean.
        alone: the caller holds a lock on the folder, so that nothing there is of a living process,
            also where a dead one's process id is in use again.
    """
    for leftover in [*parent.glob(f"{STAGE}*"), *parent.glob(f"{TRASH}*")]:
        owner = leftover.name.rpartition("-")[2]
        # Our own process id is a dead process's too: in a container every run may be process 1.
        alive = owner.isdecimal() and int(owner) != os.getpid() and is_alive(int(owner))
        if alone or leftover.name.startswith(TRASH) or not alive:
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
                continue
            with suppress(OSError):  # of no use, but in nobody's way
                leftover.unlink(missing_ok=True)


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
    temporary = _temporary(link)
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
    temporary = _temporary(path)
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
    except (OSError, SafetensorError) as error:
        # safetensors reports a full disk with an exception of its own, the number in its text.
        number = error.errno if isinstance(error, OSError) else _os_error_number(error)
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


def file_sha256(path: Path) -> str:
    """Returns the hex sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Makes a file's bytes or a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(final: Path) -> Path:
    return final.parent / f"{STAGE}{final.name}-{os.getpid()}"


def _seal(stage: Path, about: dict[str, Any]) -> None:
    files = {}
    paths = sorted(stage.iterdir())
    share(paths)
    # Hashing, the longer part, and waiting for the disk both let other threads run.
    with ThreadPoolExecutor(max_workers=SEALERS) as pool:
        hashes, durable = pool.map(file_sha256, paths), pool.map(fsync, paths)
        for path, sha256, _ in zip(paths, hashes, durable, strict=True):
            files[path.name] = {"size": path.stat().st_size, "sha256": sha256}
            crash_point("staged-file")
    crash_point("before-manifest")
    body = json.dumps({"format": FORMAT, "about": about, "files": files}, sort_keys=True)
    own = hashlib.sha256(body.encode()).hexdigest()
    (stage / MANIFEST).write_text(json.dumps({"sha256": own, "manifest": body}), encoding="utf-8")
    fsync(stage / MANIFEST)
    fsync(stage)
    crash_point("after-manifest")


def share(paths: Iterable[Path]) -> None:
    """Gives files the mode that new ones have here: safetensors writes its own for the owner alone."""
    os.umask(mask := os.umask(0o077))
    for path in paths:
        path.chmod(0o666 & ~mask)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the manifest; it carries its own hash, so that a flipped bit in it is found too."""
    path = folder / MANIFEST
    try:
        outer = json.loads(read_plain_text(path, MAX_MANIFEST_BYTES))
        if hashlib.sha256(outer["manifest"].encode()).hexdigest() != outer["sha256"]:
            raise ValueError("hash")
        manifest = json.loads(outer["manifest"])
        written = manifest["format"]
        if written == FORMAT:
            if not isinstance(manifest.get("about", {}), dict):
                raise ValueError("about")
            files = {
                name: {"size": stated["size"], "sha256": stated["sha256"]}
                for name, stated in manifest["files"].items()
            }
    except FileNotFoundError as error:
        raise CheckpointError(Problem(str(path), "is missing or damaged")) from error
    except OSError as error:
        hint = "check the disk; a resume takes the newest checkpoint that can be read" if error.errno else ""
        raise CheckpointError(
            Problem(str(path), f"cannot be read: {error.strerror or error}", hint)
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(Problem(str(path), "is missing or damaged")) from error
    if written != FORMAT:
        raise UnknownFormatError(
            Problem(str(path), f"has format {written}; this version of ftcli reads {FORMAT}")
        )
    return {"format": written, "about": manifest.get("about", {}), "files": files}


def is_alive(process: int) -> bool:
    """Returns whether there is a process of this id, anybody's."""
    try:
        os.kill(process, 0)
    except PermissionError:  # another user's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _os_error_number(error: Exception) -> int | None:
    found = re.search(r"os error (\d+)", str(error))
    return int(found.group(1)) if found else None


def _free_bytes(path: Path) -> int:
    place = next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())
    return shutil.disk_usage(place).free
