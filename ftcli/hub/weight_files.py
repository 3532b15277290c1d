"""The weight files of a model's folder: safetensors that are whole, one file or the shards of an index."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

from ftcli.config.regular_file import is_file
from ftcli.errors import Problem, SourceError
from ftcli.hub.json_file import read_object

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

LARGEST_HEADER = 100_000_000
"""Bytes, as the safetensors library has it."""
MOST_DIMENSIONS = 16

_SHARD = re.compile(r"[^/\\]+\.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.msgpack", "*.h5")


def has_weights(folder: Path) -> bool:
    """Says whether a folder has safetensors weights, in one file or by an index."""
    return (folder / SINGLE).is_file() or (folder / INDEX).is_file()


def weight_files_if_present(folder: Path, key: str) -> tuple[Path, ...]:
    """Returns the weight files where all are there and readable, else none: for a caller that does not need them."""
    try:
        return weight_files(folder, key)
    except SourceError:
        return ()


def weight_files(folder: Path, key: str) -> tuple[Path, ...]:
    """Returns the weight files of a folder.

    Args:
        folder: of the model.
        key: the setting that names it, for messages.

    Raises:
        SourceError: there are none, they are pickles, or one is not whole.
    """
    _refuse_special(folder, key)
    if (folder / SINGLE).is_file():
        files = [folder / SINGLE]
    elif (folder / INDEX).is_file():
        files = [folder / name for name in _indexed(folder / INDEX, key)]
    else:
        raise SourceError(_without_safetensors(folder, key))
    for file in files:
        _check_header(file, key)
    return tuple(files)


def _without_safetensors(folder: Path, key: str) -> Problem:
    pickles = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
    if not pickles:
        others = ", ".join(sorted(p.name for p in folder.glob("*.safetensors")))
        seen = f" (there is {others})" if others else ""
        hint = "for an untrained model set model.weights=random"
        return Problem(key, f"{folder} has no {SINGLE}{seen}", hint)
    message = f"{folder} has its weights in {pickles[0]} only; pickle files can run code and are never loaded"
    convert = "AutoModel.from_pretrained(OLD).save_pretrained(NEW)"
    return Problem(key, message, f"where you trust them, convert them: {convert}, then set model.path=NEW")


def _indexed(index: Path, key: str) -> list[str]:
    """Returns the shard names of an index, none of which may lead out of the folder."""
    try:
        names = list(dict.fromkeys(read_object(index, key)["weight_map"].values()))
    except (KeyError, AttributeError, TypeError) as error:
        raise SourceError(Problem(key, f"{index} is not an index of safetensors files: {error!r}")) from error
    if not names:
        raise SourceError(Problem(key, f"{index} names no files", "copy the folder again"))
    for name in names:
        if not isinstance(name, str) or not _SHARD.fullmatch(name) or len(name) > 255:
            message = f"{index} names {name!r:.80}; expected safetensors files in the same folder"
            raise SourceError(Problem(key, message))
        if not is_file(index.parent / name):
            message = f"{index} names {name}, which is not there"
            raise SourceError(Problem(key, message, "copy the folder again"))
    return sorted(names)


def _refuse_special(folder: Path, key: str) -> None:
    """Raises SourceError where a weight file's name stands for a folder, a device or a pipe."""
    for name in (SINGLE, INDEX):
        if (folder / name).exists() and not (folder / name).is_file():
            raise SourceError(Problem(key, f"{folder / name} is not a file", "copy the folder again"))


def num_stored(files: Iterable[Path]) -> int:
    """Returns how many numbers the tensors of whole safetensors files have; reads their headers only."""
    return sum(_num_stored(file) for file in files)


def _num_stored(file: Path) -> int:
    """Returns how many numbers a safetensors file has.

    Raises:
        ValueError: its header is none.
    """
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if not 2 <= size <= min(LARGEST_HEADER, file.stat().st_size - 8):
            raise ValueError(f"its header says that it has {size:,} bytes")
        header = json.loads(stream.read(size))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    count = 0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        shape = tensor.get("shape") if isinstance(tensor, dict) else None
        if (
            not isinstance(shape, list)
            or len(shape) > MOST_DIMENSIONS
            or not all(type(n) is int and 0 <= n < 2**48 for n in shape)
        ):
            raise ValueError(f"{name!r:.60} has no shape, or one that no tensor has")
        count += math.prod(shape)
    return count


def _check_header(file: Path, key: str) -> None:
    """Raises SourceError unless `file` is a whole safetensors file; reads the header only."""
    from safetensors import SafetensorError, safe_open

    try:
        _num_stored(file)
        with safe_open(str(file), framework="numpy"):
            return
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        with file.open("rb") as start:
            pointer = start.read(24).startswith(b"version https://git-lfs")
        hint = "it is a Git LFS pointer; run `git lfs pull` there" if pointer else "copy or download it again"
        message = f"{file} is not a readable safetensors file: {error}"
        raise SourceError(Problem(key, message, hint)) from error
