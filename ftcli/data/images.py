"""Images with a label: a folder a class, or idx files as MNIST has them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from ftcli.batching.image_files import ImageRows, Place, read_idx, require_image_bytes
from ftcli.batching.rows import DatasetSplits, Field, Kind, Rows
from ftcli.config.registry import register
from ftcli.config.schema import DataConfig
from ftcli.data.opening import folder_at
from ftcli.data.splits import NAMES
from ftcli.data.splitting import ensure_validation, limit_parts
from ftcli.errors import ConfigError, DataError, Problem, SourceError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the formats that are read (`ftcli.batching.image_files.FORMATS`)."""
IDX = re.compile(r"(?P<name>.+)[-.]images[-.]idx3-ubyte(\.gz)?")
IDX_NAMES = {**NAMES, "test": (*NAMES["test"], "t10k")}
"""Part -> what stands before `-images-idx3-ubyte`."""
MOST_BELOW, MOST_LOOKED_AT = 10_000, 200_000
"""Images in folders below a class that are counted, and files that are looked at for them."""
CONTENT = "image.sha256"
"""Column of the digest of a row's image: equal images stay together when rows are held out."""


@dataclass(kw_only=True, slots=True)
class ImagesConfig(DataConfig):
    holds: ClassVar[str] = "images"

    def problems(self) -> list[Problem]:
        """Returns what is wrong before anything is read."""
        hint = "type data.path=DIR"
        found = []
        if self.id or self.subset:
            found.append(Problem("data.id", "images are read from local files alone", hint))
        for part in NAMES:
            if getattr(self.files, part):
                message = "images are read from a folder, not from a file that lists them"
                found.append(Problem(f"data.files.{part}", message, hint))
        if not self.path and not found:
            message = "no images are named: data.path is not set"
            hint += " with train/CLASS/FILE and validation/CLASS/FILE, or idx files"
            found.append(Problem("data.path", message, hint))
        return found


@register("data", ImagesConfig)
def build(
    config: ImagesConfig,
    *,
    seed: int,
    needs_label: bool = True,
    needs_train: bool = True,
    fields: Sequence[Field] | None = None,
) -> DatasetSplits:
    """Finds, hashes, splits and limits the images; their pixels are read by the task.

    Args:
        config: where the images are.
        seed: draws the rows of a limit; has no say in a validation share.
        needs_label: taken by every data choice; images come with a label always.
        needs_train: False for an evaluation, where any one part is enough.
        fields: taken by every data choice; an image and a label are read.

    Raises:
        ConfigError: there is no validation part and no share.
        SourceError: no such folder, or no part in it.
        DataError: two folders for one part, a class without images, a damaged idx file.
    """
    if problems := config.problems():
        raise ConfigError(*problems)
    assert config.path is not None
    decisions: list[str] = []
    parts = _read_parts(config, folder_at(config.path).absolute(), decisions)
    if needs_train:
        if "train" not in parts:
            held = " and ".join(rows.origin for rows in parts.values())
            raise DataError(Problem("data.path", f"there is only {held}", "a folder train/ is missing"))
        own = (Field("image", CONTENT), Field("label", config.columns.label, Kind.classes))
        other = ("data.path", "add a folder validation/ with a folder for each class")
        ensure_validation(config, parts, own, decisions, other=other)
    limit_parts(config, parts, seed, decisions)
    return DatasetSplits(parts.get("train"), parts.get("validation"), parts.get("test"), decisions)


def _read_parts(config: ImagesConfig, folder: Path, decisions: list[str]) -> dict[str, Rows]:
    """Returns part -> rows, from sub-folders or, where there are none, from idx files."""
    if found := _by_name({p.name: p for p in folder.iterdir() if p.is_dir()}, NAMES, folder):
        return {part: _class_folders(config, part, place, decisions) for part, place in found.items()}
    images = {m["name"]: p for p in sorted(folder.iterdir()) if (m := IDX.fullmatch(p.name))}
    if not images:
        held = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        shown = ", ".join(held[:8]) + (", ..." if len(held) > 8 else "") if held else "nothing"
        hint = "expected folders train/CLASS/ and validation/CLASS/, or NAME-images-idx3-ubyte files"
        raise SourceError(Problem("data.path", f"no images in {folder}; it holds {shown}", hint))
    found = _by_name(images, IDX_NAMES, folder)
    if len(images) == 1:
        (only,) = images.values()
        if "train" not in found:
            decisions.append(f"train: {only.name}, the only images there are")
        found = {"train": only}
    return {part: _idx(config, part, file) for part, file in found.items()}


def _by_name(entries: dict[str, Path], names: dict[str, tuple[str, ...]], folder: Path) -> dict[str, Path]:
    """Returns part -> the entry that is named like it.

    Raises:
        DataError: two entries for one part.
    """
    found = {}
    for part, known in names.items():
        hits = [entries[name] for name in known if name in entries]
        if len(hits) > 1:
            both = " and ".join(hit.name for hit in hits)
            message = f"{folder} holds {both}: which one is the {part} part?"
            raise DataError(Problem("data.path", message, "leave one of them there"))
        if hits:
            found[part] = hits[0]
    return found


def _class_folders(config: ImagesConfig, part: str, folder: Path, decisions: list[str]) -> Rows:
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise DataError(Problem("data.path", f"{folder} holds no folder for a class"))
    places: list[Place] = []
    labels: list[str] = []
    for place in classes:
        images = _class_images(part, place, decisions)
        places += [str(p) for p in images]
        labels += [place.name] * len(images)
    loose = [p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES]
    if loose:
        decisions.append(
            f"{part}: {len(loose):,} images beside the class folders have no class and are not read: {min(loose)}"
        )
    return _rows(config, part, folder, places, labels, (_digest(Path(str(p))) for p in places))


def _class_images(part: str, place: Path, decisions: list[str]) -> list[Path]:
    """Returns the images of a class; what lies in its folder and is not read gets a line.

    Raises:
        DataError: there is none.
    """
    entries = sorted(p for p in place.iterdir() if not p.name.startswith("."))
    files = [p for p in entries if p.is_file()]
    if lost := [p for p in entries if p.suffix.lower() in SUFFIXES and not (p.is_file() or p.is_dir())]:
        decisions.append(
            f"{part}: {len(lost):,} images are links to nothing, or no files, and are not read: {lost[0]}"
        )
    images = [p for p in files if p.suffix.lower() in SUFFIXES]
    below = _images_below(place)
    if not images:
        message = f"the class folder {place} holds no images ({', '.join(SUFFIXES)})"
        deeper = f" itself; there are {len(below):,} in folders below" if below else ""
        raise DataError(Problem("data.path", message + deeper, "remove it, or put its images there"))
    if len(images) < len(files):
        other = next(p for p in files if p not in images)
        decisions.append(
            f"{part}: {len(files) - len(images)} files are no images ({', '.join(SUFFIXES)}) and are not read: {other}"
        )
    if below:
        more = "at least " if len(below) == MOST_BELOW else ""
        decisions.append(
            f"{part}: {more}{len(below):,} images in folders below {place} are not read: {below[0]}"
        )
    return images


def _images_below(place: Path) -> list[Path]:
    """Returns the images in sub-folders of a class, MOST_BELOW of them at most; links are not followed."""
    looked_at = islice(_files_below(place), MOST_LOOKED_AT)
    return sorted(islice((p for p in looked_at if p.suffix.lower() in SUFFIXES), MOST_BELOW))


def _files_below(place: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if Path(folder) != place:
            yield from (Path(folder, name) for name in names)


def _digest(file: Path) -> str:
    try:
        require_image_bytes(file, str(file))
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DataError(Problem(str(file), f"cannot be read: {error.strerror}")) from error


def _idx(config: ImagesConfig, part: str, file: Path) -> Rows:
    """Returns the rows of a pair of idx files."""
    beside = file.name.replace("images", "labels").replace("idx3", "idx1")
    candidates = [file.with_name(beside), file.with_name(beside.removesuffix(".gz"))]
    candidates.append(file.with_name(beside.removesuffix(".gz") + ".gz"))
    labels_file = next((p for p in candidates if p.is_file()), None)
    if labels_file is None:
        raise DataError(Problem("data.path", f"{file} comes without {beside}", "put it beside the images"))
    images, labels = read_idx(file, 3), read_idx(labels_file, 1)
    if len(images) != len(labels):
        message = f"{file} holds {len(images):,} images, {labels_file.name} {len(labels):,} labels"
        raise DataError(Problem("data.path", message, "fetch both again"))
    places: list[Place] = [(str(file), number) for number in range(len(images))]
    digests = (hashlib.sha256(image.tobytes()).hexdigest() for image in images)
    return _rows(config, part, file, places, [str(label) for label in labels.tolist()], digests)


def _rows(
    config: ImagesConfig,
    part: str,
    origin: Path,
    places: list[Place],
    labels: list[str],
    digests: Iterable[str],
) -> Rows:
    """Returns rows under a digest of their images and labels; where they stand has no say in it."""
    contents = list(digests)
    whole = hashlib.sha256()
    for content, label in zip(contents, labels, strict=True):
        whole.update(f"{content} {len(label)}:{label}\n".encode())
    columns: dict[str, list[Any]] = {
        config.columns.image: places,
        config.columns.label: labels,
        CONTENT: contents,
    }
    return ImageRows(part, columns, str(origin), whole.hexdigest(), derived=frozenset([CONTENT]))
