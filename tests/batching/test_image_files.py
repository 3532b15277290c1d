"""Hostile images: each is an image or a panel that names the file; no program is started, no bomb decoded."""

from __future__ import annotations

import gzip
import os
import subprocess
import time

import numpy as np
import pytest
from hostile_images import OTHERS, hostile_images
from PIL import Image

from ftcli.batching.image_files import MAX_PIXELS, open_image, read_idx
from ftcli.errors import DataError
from ftcli.tokenizer.image_processor import Geometry, ImageProcessor


@pytest.fixture
def no_programs(monkeypatch):
    """Fails where anything starts a program, as Pillow's EPS reader starts Ghostscript."""

    def started(*arguments, **options):
        raise AssertionError(f"a program was started: {arguments}")

    for place, name in ((subprocess, "Popen"), (os, "system"), (os, "posix_spawn"), (os, "execv")):
        monkeypatch.setattr(place, name, started)


def test_150_hostile_images_are_read_or_named(tmp_path, no_programs):
    names = set()
    for name, place in hostile_images(tmp_path, 150, seed=1):
        names.add(name)
        began = time.monotonic()
        try:
            picture = open_image(place.name, tmp_path, f"rows.csv:{len(names)}", channels=3)
        except DataError as error:
            [problem] = error.problems
            assert place.name in problem.message and problem.key.startswith("rows.csv:") and problem.hint, (
                name
            )
        else:
            assert picture.mode == "RGB" and 0 < picture.width * picture.height <= MAX_PIXELS, name
            assert name not in OTHERS, f"{name} was read though its format is not allowed"
        assert time.monotonic() - began < 5, name
    assert len(names) >= 60


@pytest.mark.parametrize(
    "name", ["png-bomb", "gif-screen", "jpeg-size", "png-16-bit", "eps", "pipe", "device"]
)
def test_what_is_wrong_is_said(tmp_path, name):
    said = {"png-bomb": "1600000000 pixels", "gif-screen": "4294836225 pixels", "jpeg-size": "4290250000 pixels",
            "png-16-bit": "more than 8 bits", "eps": "cannot", "pipe": "is no file", "device": "is no file"}  # fmt: skip
    place = next(place for kind, place in hostile_images(tmp_path, 40, seed=1) if kind == name)
    with pytest.raises(DataError, match=said[name]):
        open_image(place.name, tmp_path, "row 1", channels=3)


def test_a_thin_image_is_not_blown_up_by_keeping_proportions(tmp_path):
    Image.new("L", (60_000, 1)).save(tmp_path / "thin.png")
    processor = ImageProcessor(
        Geometry(None, 224, (224, 224), 2), (224, 224), 3, 1.0, (0.0,) * 3, (1.0,) * 3, 1
    )
    with pytest.raises(DataError, match="resized it would have 224 x 13,440,000"):
        processor.encode_images(["thin.png"], tmp_path, lambda row: "row 1")


@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_file_is_read_no_further_than_its_sizes(tmp_path, packed):
    header = bytes([0, 0, 8, 3]) + np.array([2, 2, 2], ">u4").tobytes()
    file = tmp_path / f"t-images-idx3-ubyte{'.gz' if packed else ''}"
    write = gzip.compress if packed else bytes
    file.write_bytes(write(header + bytes(8)))
    assert read_idx(file, 3).shape == (2, 2, 2)
    file.write_bytes(write(header + bytes(200_000_000 if packed else 9)))
    with pytest.raises(DataError, match="it holds more values"):
        read_idx(file, 3)
    absurd = bytes([0, 0, 8, 3]) + np.array([2**31, 2**31, 2], ">u4").tobytes()
    file.write_bytes(write(absurd + bytes(8)))
    with pytest.raises(DataError, match="bytes cannot hold the values"):
        read_idx(file, 3)
