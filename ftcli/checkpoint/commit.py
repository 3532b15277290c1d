"""The commit protocol: stage, fsync, hashed manifest, rename.

A folder under its final name is complete; whatever a kill leaves behind carries another name. The
manifest finds flipped bits and truncations, which neither safetensors nor JSON would notice.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftcli.checkpoint.crash import crash_point
from ftcli.errors import CheckpointError, Problem, RunDirError

MANIFEST = "manifest.json"
FORMAT = 1
STAGE, TRASH = ".stage-", ".trash-"


@contextmanager
def commit(final: Path) -> Iterator[Path]:
    """Yields a stage folder that becomes `final` when the block ends well, and vanishes otherwise.

    Raises:
        RunDirError: the disk is full or the folder cannot be written; nothing is left behind.
        CheckpointError: `final` exists already.
    """
    if final.exists():
        raise CheckpointError(Problem(str(final), "exists already"))
    stage = final.parent / f"{STAGE}{final.name}-{os.getpid()}"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        stage.mkdir(parents=True)
        yield stage
        _seal(stage)
        crash_point("before-rename")
        stage.rename(final)
        fsync(final.parent)
        crash_point("after-rename")
    except OSError as error:
        raise _explained(error, final, stage) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def verify(folder: Path) -> dict[str, Any]:
    """Reads every file back against its manifest and returns the manifest.

    Raises:
        CheckpointError: names the file and what is wrong with it.
    """
    manifest = _read_manifest(folder)
    for name, stated in manifest["files"].items():
        path = folder / name
        if Path(name).name != name or path.is_symlink() or not path.is_file():
            raise CheckpointError(Problem(str(path), "is missing or is no plain file"))
        size = path.stat().st_size
        if size != stated["size"]:
            raise CheckpointError(Problem(str(path), f"has {size} bytes, its manifest says {stated['size']}"))
        if file_sha256(path) != stated["sha256"]:
            raise CheckpointError(Problem(str(path), "differs from the sha256 in its manifest"))
    return manifest


def sweep(parent: Path) -> None:
    """Removes stages and half-deleted folders that killed processes left."""
    for pattern in (f"{STAGE}*", f"{TRASH}*"):
        for leftover in parent.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


def replace_link(link: Path, target: str) -> None:
    """Points the relative link at `target` by renaming a temporary one over it."""
    temporary = link.parent / f".{link.name}-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    fsync(link.parent)


def write_atomic(path: Path, text: str) -> None:
    """Writes a file so that readers see the old text or the new one, never a part.

    Raises:
        RunDirError: the file cannot be written.
    """
    temporary = path.parent / f".{path.name}-{os.getpid()}"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _explained(error, path, path.parent) from error


def file_sha256(path: Path) -> str:
    """Returns the hex sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Makes a file's bytes or a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(stage: Path) -> None:
    files = {}
    for path in sorted(stage.iterdir()):
        fsync(path)
        files[path.name] = {"size": path.stat().st_size, "sha256": file_sha256(path)}
        crash_point("staged-file")
    crash_point("before-manifest")
    body = json.dumps({"format": FORMAT, "files": files}, sort_keys=True)
    own = hashlib.sha256(body.encode()).hexdigest()
    (stage / MANIFEST).write_text(json.dumps({"sha256": own, "manifest": body}), encoding="utf-8")
    fsync(stage / MANIFEST)
    fsync(stage)
    crash_point("after-manifest")


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the manifest; it carries its own hash, so that a flipped bit in it is found too."""
    path = folder / MANIFEST
    try:
        outer = json.loads(path.read_text(encoding="utf-8"))
        body = outer["manifest"]
        if hashlib.sha256(body.encode()).hexdigest() != outer["sha256"]:
            raise ValueError("hash")
        manifest = json.loads(body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(Problem(str(path), "is missing or damaged")) from error
    if manifest["format"] != FORMAT:
        raise CheckpointError(
            Problem(str(path), f"has format {manifest['format']}; this version reads {FORMAT}")
        )
    return manifest


def _explained(error: OSError, path: Path, stage: Path) -> RunDirError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        held = sum(p.stat().st_size for p in stage.glob("*") if p.is_file()) if stage.is_dir() else 0
        message = f"the disk is full after {held:,} bytes ({error.strerror})"
        return RunDirError(Problem(str(path), message, "free space and type: ftcli resume RUN"))
    return RunDirError(
        Problem(str(path), f"cannot be written: {error.strerror}", "choose another place with --run-dir DIR")
    )
