"""Where a row's image is, and how it is opened: a file, or a place in an idx file."""

from __future__ import annotations

import gzip
import math
import warnings
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

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow's names of the formats that are read. Others are never tried: its EPS reader starts a program."""
MAX_PIXELS = 89_478_485
"""Most pixels of an image before it is resized, Pillow's own bound: a quarter of a gigabyte as RGB."""
MAX_BYTES = 2**29
"""Most bytes of an image's file: twice those of the largest picture that is not compressed at all."""
DEFLATE_RATIO = 1032
"""Most bytes that one byte of a gzip file can become (zlib's documentation, "Technical Details")."""

WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes of more than 8 bits a value; converting them to grey would clip values without a warning."""


@dataclass(slots=True)
class ImageRows(Rows):
    """Rows whose first column holds the places of images."""

    def where(self, row: int) -> str:
        """Returns the image's file, and its number from 1 in an idx file."""
        place = next(iter(self.columns.values()))[row]
        return place if isinstance(place, str) else f"{place[0]}, image {place[1] + 1}"


def require_image_bytes(file: Path, where: str) -> None:
    """Refuses a file that is larger than any image that is read; its bytes may be endless zeros.

    Args:
        file: that is there.
        where: names the row in messages.

    Raises:
        DataError: it has more than MAX_BYTES.
    """
    size = file.stat().st_size
    if size > MAX_BYTES:
        message = f"the image {file} has {size:,} bytes; expected at most {MAX_BYTES:,}"
        raise DataError(Problem(where, message, "scale it down or remove it"))


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
    packed = file.suffix == ".gz"
    header = 4 + 4 * rank
    with gzip.open(file) if packed else file.open("rb") as opened:
        start = opened.read(header)
        if start[:4] != bytes([0, 0, UNSIGNED_BYTES, rank]):
            raise ValueError(
                f"it begins with {start[:4].hex() or 'nothing'}, expected {bytes([0, 0, 8, rank]).hex()}"
            )
        if len(start) < header:
            raise ValueError("it ends before its sizes do")
        shape = tuple(np.frombuffer(start, ">u4", rank, 4).tolist())
        expected = math.prod(shape)
        most = size * DEFLATE_RATIO if packed else size - header
        if expected > most:
            raise ValueError(f"its {size:,} bytes cannot hold the values that its sizes {shape} say")
        content = opened.read(expected + 1)
    if len(content) != expected:
        more = "more" if len(content) > expected else f"{len(content):,}"
        raise ValueError(f"it holds {more} values, and its sizes {shape} say {expected:,}")
    return np.frombuffer(content, np.uint8).reshape(shape)


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
        DataError: no image of one of FORMATS, a damaged one, one of more than MAX_PIXELS, or of more than 8 bits a value.
    """
    from PIL import Image

    if not isinstance(place, str):
        picture = Image.fromarray(read_idx(Path(place[0]), 3)[place[1]])
        return picture.convert("L" if channels == 1 else "RGB")
    file = base / place
    try:
        if not file.is_file():
            missing = "is no file" if file.exists() else "is not there"
            raise DataError(
                Problem(where, f"the image {file} {missing}", "repair the path or remove the row")
            )
        require_image_bytes(file, where)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged EXIF data and large images: the error says it
            return _decoded(file, where, channels)
    except DataError:
        raise
    # Pillow's readers raise KeyError, struct.error, MemoryError and others for damaged files; nothing narrower exists.
    except Exception as error:
        message = f"the image {file} cannot be read: {_first_line(error)}"
        hint = f"repair or remove it; {', '.join(FORMATS)} are read"
        raise DataError(Problem(where, message, hint)) from error


def _decoded(file: Path, where: str, channels: int) -> Image:
    """Returns the first frame; its size is checked before any of it is decoded."""
    from PIL import Image, ImageOps

    with Image.open(file, formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS or not width * height:
            message = f"the image {file} has {width:,} x {height:,} pixels; expected 1 to {MAX_PIXELS:,}"
            raise DataError(Problem(where, message, "scale it down or remove it"))
        if picture.mode in WIDE_MODES:
            message = f"the image {file} has more than 8 bits a value (mode {picture.mode})"
            raise DataError(Problem(where, message, "save it with 8 bits"))
        return ImageOps.exif_transpose(picture).convert("L" if channels == 1 else "RGB")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
