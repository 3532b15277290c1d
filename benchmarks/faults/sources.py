"""Where hostile cases come from: generators of tests/support, each case made a command of ftcli in a folder.

A source is a function (folder, count, seed) -> iterator of cases. To add one, write it here and name it in SOURCES.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import figure

import tiny_models  # isort: skip

assert figure  # its import puts tests/support on the path


@dataclass(frozen=True, slots=True)
class Case:
    """One command."""

    name: str
    words: list[str]
    """Without `ftcli`."""
    folder: Path
    """Where it runs; it may write there."""
    own: bool = True
    """The folder is this case's alone, and is deleted after it."""
    control: bool = False
    """Nothing in it is hostile: exit code 0 is expected, or the other cases would show nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of hostile input."""

    title: str
    count: int
    """Cases of the committed figure."""
    cases: Callable[[Path, int, int], Iterator[Case]]


def images(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Hostile images among good ones, checked and trained on."""
    from hostile_images import hostile_images
    from PIL import Image

    folder.mkdir(parents=True)
    model = tiny_models.write_model(folder / "model", "vit")
    (folder / "made").mkdir()
    hostile = hostile_images(folder / "made", count - 1, seed)
    for number, (name, place) in enumerate([("control", None), *hostile]):
        own = folder / f"case-{number}"
        for label in ("a", "b"):
            for part in ("train", "validation"):
                (own / "rows" / part / label).mkdir(parents=True)
                for copy in range(3):
                    shade = 40 * copy + (100 if label == "a" else 0)
                    Image.new("RGB", (16, 16), (shade, 255 - shade, copy)).save(
                        own / "rows" / part / label / f"{copy}.png"
                    )
        if place is not None:
            shutil.move(place, own / "rows" / "train" / "a" / place.name)
        command = ["check-data"] if number % 2 == 0 else ["train", "--run-dir", str(own / "run")]
        words = ["task=image-classification", "data=images", f"data.path={own / 'rows'}", "tokenizer=processor", "model=local",
                 f"model.path={model}", "model.weights=random", "trainer.max_steps=1", "trainer.batch_size=4", "trainer.precision=fp32"]  # fmt: skip
        yield Case(name, [command[0], *words, *command[1:]], own, control=place is None)


def data(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Data files of each format with bytes flipped, cut, doubled, swapped or replaced by what readers stumble over."""
    folder.mkdir(parents=True)
    good = formats(folder / "good")
    model = tiny_models.write_model(folder / "model", "bert")
    draw = random.Random(seed)
    for number in range(count):
        suffix = list(good)[number % len(good)]
        own = folder / f"case-{number}"
        own.mkdir()
        for part in ("train", "validation"):
            shutil.copy(good[suffix], own / f"{part}{suffix}")
        target = own / f"{'train' if number % 3 else 'validation'}{suffix}"
        control = number < len(good)
        if not control:
            target.write_bytes(mutated(target.read_bytes(), draw))
        words = ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text",
                 f"data.files.train={own / ('train' + suffix)}", f"data.files.validation={own / ('validation' + suffix)}", "data.accept=[overlap]"]  # fmt: skip
        yield Case(f"data{suffix}", ["check-data", *words], own, control=control)


def formats(folder: Path) -> dict[str, Path]:
    """Writes the same rows in each format; returns suffix -> file."""
    import json

    import pandas

    folder.mkdir(parents=True)
    lines = tiny_models.write_rows(folder / "rows", train=24).joinpath("train.tsv").read_text().splitlines()
    rows = [dict(zip(("text", "label"), line.split("\t"), strict=True)) for line in lines[1:]]
    table = pandas.DataFrame(rows)
    found = {suffix: folder / f"rows{suffix}" for suffix in (".csv", ".tsv", ".jsonl", ".json", ".parquet")}
    table.to_csv(found[".csv"], index=False)
    table.to_csv(found[".tsv"], index=False, sep="\t")
    found[".jsonl"].write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    found[".json"].write_text(json.dumps(rows))
    table.to_parquet(found[".parquet"])
    return found


STUMBLES = (b"\0", b'"', b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b"{", b"]" * 300, b"[" * 5000, b"1e999", b"NaN", b"\x1b[31m", b"\t" * 50,
            b"=cmd|' /C calc'!A1", b"\xf0\x9f\x92\xa9", b"\xed\xa0\x80", b"9" * 400, b"\\u0000", b'"""', b"\x1a", b"a" * 200_000)  # fmt: skip


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Returns the bytes after one to four mutations."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(content) + 1)
        other = draw.randrange(len(content) + 1)
        low, high = sorted((place, other))
        kind = draw.randrange(6)
        if kind == 0 and place < len(content):
            content = (
                content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
            )
        elif kind == 1:
            content = content[:place]
        elif kind == 2:
            content = content[:high] + content[low:high][:4000] + content[high:]
        elif kind == 3:
            content = content[:low] + content[high:]
        else:
            content = content[:place] + draw.choice(STUMBLES) + content[place:]
    return content


SOURCES = {
    "data": Source("data files of each format, mutated", 10_000, data),
    "images": Source("hostile images", 150, images),
}
"""Name -> source; the name is the argument of `python -m benchmarks.faults.hostile`."""
