"""Which file of a folder, or split of a hub data set, is which part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ftcli.config.regular_file import is_file, is_folder
from ftcli.config.shell_word import shell_word
from ftcli.data.content import Content, ReadOptions
from ftcli.data.opening import folder_at, split_name
from ftcli.data.reading import DEFAULTS, SUFFIXES, read_file, read_shards
from ftcli.errors import DataError, Problem, SourceError

NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""Part -> names under which it is found."""

SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")
"""As Hugging Face names them: train-00000-of-00002.parquet."""


def find_parts(path: str, subset: str | None = None) -> dict[str, list[Path]]:
    """Returns part -> its file, or its shards in order.

    Looks into the folder, then its `data/`, then `<subset>/`, as data sets on the hub are laid out;
    the first of them that holds a part counts.

    Args:
        path: of the folder.
        subset: of a data set that has several.

    Raises:
        SourceError: no such folder, or nothing in it is named like a part.
        DataError: two files for one part, or shards that are missing.
    """
    folder = folder_at(path)
    for place in (folder, folder / "data", *([folder / subset] if subset else [])):
        if is_folder(place) and (found := _parts_in(place)):
            return found
    raise SourceError(_nothing_found(folder))


def _parts_in(folder: Path) -> dict[str, list[Path]]:
    candidates: dict[str, dict[str, list[Path]]] = {part: {} for part in NAMES}
    for file in sorted(folder.iterdir()):
        stem, suffix, compression = split_name(file)
        if suffix not in SUFFIXES or not is_file(file):
            continue
        shard = SHARD.fullmatch(stem)
        name = shard["name"] if shard else stem
        for part, names in NAMES.items():
            if name in names:
                whole = f"{name}-*-of-{shard['count']}{suffix}{compression}" if shard else file.name
                candidates[part].setdefault(whole, []).append(file)
    for part, files in candidates.items():
        # Beside another file, a text of that name is a note, such as the licence of a data set.
        for name in [name for name in files if ".txt" in Path(name).suffixes and len(files) > 1]:
            del files[name]
        if len(files) > 1:
            message = f"{folder} holds {' and '.join(files)}: which one is the {part} part?"
            word = shell_word(f"data.files.{part}", str(folder / next(iter(files))))
            raise DataError(Problem("data.path", message, f"type {word}"))
    return {part: _whole(next(iter(files.values()))) for part, files in candidates.items() if files}


def _whole(shards: list[Path]) -> list[Path]:
    first = SHARD.fullmatch(split_name(shards[0])[0])
    if first and len(shards) != int(first["count"]):
        message = f"{len(shards)} of the {int(first['count'])} shards {first['name']}-* are there"
        raise DataError(Problem(str(shards[0].parent), message, "fetch the folder again"))
    return shards


def _nothing_found(folder: Path) -> Problem:
    held = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    shown = ", ".join(held[:8]) + (", ..." if len(held) > 8 else "") if held else "nothing"
    message = f"no train, validation, dev or test file ({', '.join(SUFFIXES)}) in {folder}; it holds {shown}"
    return Problem("data.path", message, files_hint(folder))


def files_hint(folder: Path) -> str:
    """Returns the words that name the files of a folder which may be its training and its validation part."""
    usable = [entry for entry in sorted(folder.iterdir()) if is_file(entry) and _may_hold_rows(entry)]
    words = []
    for part in ("train", "validation"):
        named = [file for file in usable if any(name in file.name.casefold() for name in NAMES[part])]
        other = [name for other, names in NAMES.items() if other != part for name in names]
        free = [file for file in usable if not any(name in file.name.casefold() for name in other)]
        file = (named or free if part == "train" else named)[:1]
        words += [shell_word(f"data.files.{part}", str(one)) for one in file] or (
            ["data.files.train=FILE"] if part == "train" else []
        )
    return f"type {' '.join(words)}"


def _may_hold_rows(file: Path) -> bool:
    """Returns whether a file's name is of a format; a text such as README.txt has to be named like a part."""
    suffix = split_name(file)[1]
    named = any(name in file.name.casefold() for names in NAMES.values() for name in names)
    return suffix in SUFFIXES and (suffix != ".txt" or named)


def read_part(files: list[Path], key: str, options: ReadOptions = DEFAULTS) -> tuple[Content, str]:
    """Returns the content of a part and how to name its origin."""
    if len(files) == 1:
        return read_file(files[0], key, options), str(files[0])
    stem, suffix, compression = split_name(files[0])
    shard = SHARD.fullmatch(stem)
    assert shard is not None
    name = f"{shard['name']}-*-of-{shard['count']}{suffix}{compression}"
    return read_shards(files, key, options), str(files[0].with_name(name))


def match_splits(splits: Iterable[str], origin: str) -> dict[str, str]:
    """Returns part -> split of a hub data set.

    Raises:
        DataError: two splits are named like one part, or none is named like any.
    """
    splits = list(splits)
    found: dict[str, str] = {}
    for part, names in NAMES.items():
        hits = [split for split in splits if split in names]
        if len(hits) > 1:
            message = f"{origin} holds {' and '.join(hits)}: which one is the {part} part?"
            raise DataError(Problem("data.id", message, "download it and type data.files." + part + "=FILE"))
        if hits:
            found[part] = hits[0]
    if not found:
        raise DataError(Problem("data.id", f"{origin} has no train split; it has {', '.join(splits)}"))
    return found
