"""Images from an untrusted sender: damaged, of other formats under an image's name, larger than they look, or no file."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIX = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tiff"}
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n(x) (w) file\nshowpage\n%%EOF\n"
OTHERS = {
    "eps": EPS,
    "eps-binary": b"\xc5\xd0\xd3\xc6" + struct.pack("<2I", 32, len(EPS)) + bytes(20) + EPS,
    "ps": b"%!PS\n(%pipe%id) (w) file\nshowpage\n",
    "pdf": b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "html": b"<html><img src=x onerror=alert(1)></html>",
    "ppm": b"P6\n2 2\n255\n" + bytes(12),
    "psd": b"8BPS\x00\x01" + bytes(40),
    "ico": b"\x00\x00\x01\x00\x01\x00" + bytes(40),
    "fits": b"SIMPLE  =                    T" + bytes(2850),
    "wmf": b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(60),
    "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "zip": b"PK\x03\x04" + bytes(60),
    "empty": b"",
    "newline": b"\n",
    "zeros": bytes(4096),
}
"""Contents of other formats, which stand under the name of an image."""


def hostile_images(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Writes hostile images one at a time, the same for the same seed; yields each one's kind and place.

    Args:
        folder: new or empty.
        count: how many.
        seed: of the damage.
    """
    draw = random.Random(seed)
    kinds: list[tuple[str, str, Callable[[Path], object]]] = [*_others(), *_special()]
    while len(kinds) < count:
        for form in SUFFIX:
            kinds += _damaged(form, draw)
    for number, (name, suffix, write) in enumerate(kinds[:count]):
        place = folder / f"{number:03}-{name}{suffix}"
        write(place)
        yield name, place


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda place: place.write_bytes(content)


def _others() -> list[tuple[str, str, Callable[[Path], object]]]:
    suffixes = list(SUFFIX.values())
    return [
        (name, suffixes[i % len(suffixes)], _bytes(content))
        for i, (name, content) in enumerate(OTHERS.items())
    ]


def _special() -> list[tuple[str, str, Callable[[Path], object]]]:
    wide = Image.fromarray(np.full((4, 4), 40000, np.uint16))
    frames = [Image.new("P", (8, 8), i % 256) for i in range(300)]
    return [
        ("folder", ".png", lambda place: place.mkdir()),
        ("link-to-nothing", ".png", lambda place: place.symlink_to("nowhere.png")),
        ("link-to-itself", ".png", lambda place: place.symlink_to(place.name)),
        ("device", ".png", lambda place: place.symlink_to("/dev/zero")),
        ("pipe", ".png", lambda place: os.mkfifo(place)),
        ("png-bomb", ".png", _bytes(png(40_000, 40_000, zlib.compress(bytes(10_000_000), 9)))),
        ("png-of-no-width", ".png", _bytes(png(0, 5, zlib.compress(b"")))),
        ("png-text-bomb", ".png", _bytes(png(4, 4, zlib.compress(bytes(52)), _text_bomb()))),
        ("png-profile-bomb", ".png", _bytes(png(4, 4, zlib.compress(bytes(52)), _profile_bomb()))),
        ("png-thin", ".png", _bytes(_saved(Image.new("L", (60_000, 1)), "PNG"))),
        ("png-16-bit", ".png", _bytes(_saved(wide, "PNG"))),
        ("gif-of-frames", ".gif", _bytes(_saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))),
        ("gif-screen", ".gif", _bytes(b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(3) + b"," + struct.pack("<4H", 0, 0, 65_535, 65_535) + b"\x00\x08\x00;")),
        ("bmp-bomb", ".bmp", _bytes(_patched("BMP", 18, struct.pack("<2i", 2**30, 2**30)))),
        ("bmp-negative", ".bmp", _bytes(_patched("BMP", 18, struct.pack("<2i", -5, -(2**31))))),
        ("tiff-cycle", ".tiff", _bytes(_tiff([(256, 4, 1, 8), (257, 4, 1, 8)], after=8))),
        ("tiff-bomb", ".tiff", _bytes(_tiff([(256, 4, 1, 2**31), (257, 4, 1, 2**31), (258, 3, 1, 8), (262, 3, 1, 1)]))),
        ("tiff-strips", ".tiff", _bytes(_tiff([(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 2**31 - 1, 8)]))),
        ("tiff-odd-tags", ".tiff", _bytes(_tiff([(256, 2, 9, 8), (257, 12, 3, 8), (258, 7, 9, 8), (259, 3, 1, 999)]))),
        ("tiff-float", ".tiff", _bytes(_saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))),
        ("jpeg-cmyk", ".jpg", _bytes(_saved(Image.new("CMYK", (8, 8)), "JPEG"))),
        ("jpeg-size", ".jpg", _bytes(_jpeg_of_size(65_500, 65_500))),
        ("jpeg-exif", ".jpg", _bytes(_saved(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff" + bytes(range(200))))),
    ]  # fmt: skip


def _damaged(form: str, draw: random.Random) -> list[tuple[str, str, Callable[[Path], object]]]:
    """Returns one image of a format cut, with a flipped byte in the header, noise inside, and noise behind the magic."""
    noise = np.frombuffer(draw.randbytes(32 * 24 * 3), np.uint8).reshape(24, 32, 3)
    whole = _saved(Image.fromarray(noise), form)
    place = draw.randrange(min(64, len(whole)))
    flipped = whole[:place] + bytes([whole[place] ^ (1 << draw.randrange(8))]) + whole[place + 1 :]
    middle = draw.randrange(len(whole) // 3, len(whole))
    spoiled = whole[:middle] + draw.randbytes(40) + whole[middle + 40 :]
    lower = form.lower()
    return [
        (f"{lower}-cut", SUFFIX[form], _bytes(whole[: draw.randrange(1, len(whole))])),
        (f"{lower}-flipped", SUFFIX[form], _bytes(flipped)),
        (f"{lower}-noise", SUFFIX[form], _bytes(spoiled)),
        (f"{lower}-magic", SUFFIX[form], _bytes(whole[:16] + draw.randbytes(200))),
    ]


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    made = io.BytesIO()
    image.save(made, form, **options)
    return made.getvalue()


def _patched(form: str, place: int, content: bytes) -> bytes:
    whole = _saved(Image.new("RGB", (8, 8)), form)
    return whole[:place] + content + whole[place + len(content) :]


def png(width: int, height: int, data: bytes, more: bytes = b"") -> bytes:
    """Returns a grey PNG of any stated size around compressed data, with more chunks before it."""
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + more + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _text_bomb() -> bytes:
    return b"".join(_chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(1_000_000), 9)) for _ in range(100))


def _profile_bomb() -> bytes:
    return _chunk(b"iCCP", b"p\x00\x00" + zlib.compress(bytes(50_000_000), 9))


def _tiff(tags: list[tuple[int, int, int, int]], after: int = 0) -> bytes:
    entries = b"".join(struct.pack("<2H2I", *tag) for tag in tags)
    return (
        b"II*\x00\x08\x00\x00\x00"
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", after)
        + bytes(64)
    )


def _jpeg_of_size(width: int, height: int) -> bytes:
    whole = _saved(Image.new("RGB", (8, 8)), "JPEG")
    place = whole.index(b"\xff\xc0") + 5
    return whole[:place] + struct.pack(">2H", height, width) + whole[place + 4 :]
