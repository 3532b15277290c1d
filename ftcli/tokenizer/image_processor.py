"""The image processor of a run, every setting decided: places of images -> pixels of one size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftcli.batching.image_files import MAX_PIXELS, Place, open_image
from ftcli.batching.image_table import ImageTable
from ftcli.errors import DataError, Problem

if TYPE_CHECKING:
    from PIL.Image import Image

FILE = "preprocessor_config.json"
PIXELS_VERSION = 1
"""Part of the fingerprint; raised when the same settings begin to give other pixels."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an image of any size becomes one of a fixed size."""

    resize: tuple[int, int] | None
    """(height, width) it is resized to, whatever its proportions."""
    shortest_edge: int | None
    """Length its shorter side is resized to, proportions kept; not beside `resize`."""
    crop: tuple[int, int] | None
    """(height, width) cut out of the middle afterwards."""
    resample: int
    """Pillow's number of the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic."""

    def apply(self, picture: Image) -> Image:
        """Resizes and crops, as the slow processors of transformers do."""
        size = self.target(picture.height, picture.width)
        if size is not None:
            picture = picture.resize((size[1], size[0]), self.resample, reducing_gap=None)
        if self.crop is None:
            return picture
        height, width = self.crop
        top, left = (picture.height - height) // 2, (picture.width - width) // 2
        return picture.crop((left, top, left + width, top + height))

    def target(self, height: int, width: int) -> tuple[int, int] | None:
        """Returns (height, width) that an image of this size is resized to; None where nothing is resized."""
        if self.shortest_edge is None:
            return self.resize
        longer = int(self.shortest_edge * max(height, width) / min(height, width))
        return (self.shortest_edge, longer) if height <= width else (longer, self.shortest_edge)


@dataclass(frozen=True, slots=True)
class ImageProcessor:
    """An image processor with every setting decided (`ftcli.tokenizer.processor`)."""

    geometry: Geometry
    size: tuple[int, int]
    """(height, width) of every image, in pixels."""
    channels: int
    """1 for grey, 3 for red, green, blue, in this order."""
    scale: float
    """Pixels from 0 to 255 are multiplied by it, then `mean` is taken away and divided by `std`."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    max_length: int
    """Patches of an image, which count as its tokens."""
    pad_id: int = 0
    """Nothing is padded; every choice of the role has it."""
    padding_side: str = "right"
    decisions: list[str] = field(default_factory=list)
    """What was decided for the user, a line each."""
    fingerprint: str = field(init=False)
    """Hex sha256 of what decides the pixels and their values."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", self._fingerprint())

    @property
    def input_names(self) -> tuple[str, ...]:
        """Name of the model's input."""
        return ("pixel_values",)

    def encode_images(self, places: Sequence[Place], base: Path, where: Callable[[int], str]) -> ImageTable:
        """Opens, resizes and crops images.

        Args:
            places: of the images.
            base: folder that relative paths start from.
            where: row number -> how messages name the row.

        Returns:
            The images as (num_rows, height, width, channels) uint8, end to end, unlabelled.

        Raises:
            DataError: an image that cannot be read, or has another size where none is resized.
        """
        pixels = np.empty((len(places), *self.size, self.channels), dtype=np.uint8)
        for row, place in enumerate(places):
            picture = open_image(place, base, where(row), channels=self.channels)
            target = self.geometry.target(picture.height, picture.width)
            if target is not None and target[0] * target[1] > MAX_PIXELS:
                message = f"the image is {picture.height:,} x {picture.width:,} pixels; resized it would have {target[0]:,} x {target[1]:,}"
                raise DataError(Problem(where(row), message, "crop or remove it"))
            done = self.geometry.apply(picture)
            if (done.height, done.width) != self.size:
                message = f"the image is {done.height} x {done.width} pixels and is not resized"
                expected = f"expected {self.size[0]} x {self.size[1]}"
                raise DataError(Problem(where(row), message, expected))
            pixels[row] = np.asarray(done).reshape(*self.size, self.channels)
        return ImageTable.of(pixels, patches=self.max_length, scale=self.scale, mean=self.mean, std=self.std)

    def save(self, folder: Path, model_folder: Path) -> None:
        """Writes preprocessor_config.json: the base model's own file where it came with one.

        Args:
            folder: where the file goes; it exists.
            model_folder: the folder that the base model was read from.
        """
        own = model_folder / FILE
        text = own.read_text(encoding="utf-8") if own.is_file() else json.dumps(self._described())
        (folder / FILE).write_text(text, encoding="utf-8")

    def _described(self) -> dict[str, object]:
        """Returns the settings under the names of transformers' ViTImageProcessor."""
        height, width = self.size
        return {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": self.geometry.resize is not None,
            "size": {"height": height, "width": width},
            "resample": self.geometry.resample,
            "do_rescale": True,
            "rescale_factor": self.scale,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }

    def limits(self) -> list[str]:
        """Returns a sentence for a model card: what the images are."""
        height, width = self.size
        return [f"Images of {height} x {width} pixels. Training resized them with Pillow; a processor that resizes otherwise gives slightly other pixels."]  # fmt: skip

    def random_rows(self, draw: np.random.Generator, num_rows: int) -> ImageTable:
        """Returns unlabelled images of noise, uniform over the values of a byte."""
        pixels = draw.integers(0, 256, (num_rows, *self.size, self.channels)).astype(np.uint8)
        return ImageTable.of(pixels, patches=self.max_length, scale=self.scale, mean=self.mean, std=self.std)

    def _fingerprint(self) -> str:
        geometry = self.geometry
        facts = {
            "pixels": PIXELS_VERSION,
            "geometry": [geometry.resize, geometry.shortest_edge, geometry.crop, geometry.resample],
            "values": [self.channels, self.scale, self.mean, self.std],
            "size": self.size,
            "patches": self.max_length,
            "pillow": version("pillow"),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
