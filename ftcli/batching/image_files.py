"""Where a row's image is, and how it is opened: a file, or a place in an idx file."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftcli.batching.rows import Rows
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    from PIL.Image import Image

Place = str | tuple[str, int]
"""Path of an image file, or (path of an idx file, number of the image in it, from 0)."""

UNSIGNED_BYTES = 8
"""The idx format's code of its element type; images and class ids have no other."""

WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of more than 8 bits a value; converting them to grey would clip values without a warning."""


@dataclass(slots=True)
class ImageRows(Rows):
    """Rows whose first column holds the places of images."""

    def where(self, row: int) -> str:
        """Returns the image's file, and its number from 1 in an idx file."""
        place = next(iter(self.columns.values()))[row]
        return place if isinstance(place, str) else f"{place[0]}, image {place[1] + 1}"


def read_idx(file: Path, rank: int) -> np.ndarray:
    """Reads an idx file, gzipped or not, as LeCun's MNIST page describes the format.

    Args:
        file: of unsigned bytes.
        rank: 3 for images, 1 for labels.

    Returns:
        uint8, (num_images, height, width) or (num_images,).

    Raises:
        DataError: not such a file, or cut short.
    """
    try:
        stat = file.stat()
        return _read_idx(file, rank, stat.st_mtime_ns, stat.st_size)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(Problem(str(file), f"no idx file: {error}", "fetch the file again")) from error


@lru_cache(maxsize=4)
def _read_idx(file: Path, rank: int, changed: int, size: int) -> np.ndarray:
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    if content[:4] != bytes([0, 0, UNSIGNED_BYTES, rank]):
        raise ValueError(
            f"it begins with {content[:4].hex() or 'nothing'}, expected {bytes([0, 0, 8, rank]).hex()}"
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise ValueError("it ends before its sizes do")
    shape = tuple(np.frombuffer(content, ">u4", rank, 4).tolist())
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - start != expected:
        raise ValueError(f"it holds {len(content) - start:,} values, and its sizes {shape} say {expected:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def open_image(place: Place, base: Path, where: str, *, channels: int) -> Image:
    """Returns an image of one grey channel, or of three in the order red, green, blue.

    A photograph is turned as its EXIF orientation says, of an animation the first frame counts, and
    transparency is dropped.

    Args:
        place: of the image.
        base: folder that a relative path starts from.
        where: names the row in messages.
        channels: 1 or 3.

    Raises:
        DataError: no image that Pillow reads, or one of more than 8 bits a value.
    """
    from PIL import Image, ImageOps

    if not isinstance(place, str):
        picture = Image.fromarray(read_idx(Path(place[0]), 3)[place[1]])
        return picture.convert("L" if channels == 1 else "RGB")
    try:
        with Image.open(base / place) as picture:
            if picture.mode not in WIDE_MODES:
                return ImageOps.exif_transpose(picture).convert("L" if channels == 1 else "RGB")
            mode = picture.mode
    except FileNotFoundError as error:
        raise DataError(Problem(where, f"there is no image {base / place}")) from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        message = f"the image {base / place} cannot be read: {_first_line(error)}"
        raise DataError(Problem(where, message, "repair or remove it")) from error
    message = f"the image {base / place} has more than 8 bits a value (mode {mode})"
    raise DataError(Problem(where, message, "save it with 8 bits"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
