"""The manifest of a folder: size and sha256 of every file, and its own hash.

It finds flipped bits and truncations, which neither safetensors nor JSON would notice.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ftcli.errors import CheckpointError, Problem
from ftcli.storage.crash_points import crash_point
from ftcli.storage.disk import fsync
from ftcli.storage.plain_file import read_plain_text

MANIFEST = "manifest.json"
FORMAT = 1
SEALERS = 4
"""Threads that hash a stage's files and wait for the disk."""
MAX_MANIFEST_BYTES = 2**24


class UnknownFormatError(CheckpointError):
    """Written by another version of ftcli: not damaged, so nothing older may take its place."""


def seal(stage: Path, about: dict[str, Any]) -> None:
    """Writes the manifest of a folder's files and makes all of it durable.

    Args:
        stage: the folder.
        about: plain values for the manifest, which `verify` returns.
    """
    files = {}
    paths = sorted(stage.iterdir())
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


def file_sha256(path: Path) -> str:
    """Returns the hex sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
