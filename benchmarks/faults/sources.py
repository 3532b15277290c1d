"""Where hostile cases come from: generators of tests/support, each case made a command of ftcli in a folder.

A source is a function (folder, count, seed) -> iterator of cases. To add one, write it here or in a module of its own and name it in SOURCES.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from benchmarks.faults import data_cases, figure, word_cases
from benchmarks.faults.case import Case, Source

import tiny_models  # isort: skip

assert figure  # its import puts tests/support on the path


def images(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Hostile images among good ones, checked and trained on."""
    from hostile_images import hostile_images
    from PIL import Image

    folder.mkdir(parents=True)
    model = tiny_models.write_model(folder / "model", "vit")
    (folder / "made").mkdir()
    hostile = hostile_images(folder / "made", count - 1, seed)
    for number, (name, place) in enumerate(chain([("control", None)], hostile)):
        own = folder / f"case-{number}"
        for label in ("a", "b"):
            for part in ("train", "validation"):
                (own / "rows" / part / label).mkdir(parents=True)
                for copy in range(3):
                    # No validation image stands in training: the check would end every command before it trains.
                    shade = 40 * copy + (100 if label == "a" else 0) + (17 if part == "validation" else 0)
                    Image.new("RGB", (16, 16), (shade, 255 - shade, copy)).save(
                        own / "rows" / part / label / f"{copy}.png"
                    )
        if place is not None:
            shutil.move(place, own / "rows" / "train" / "a" / place.name)
        command = ["check-data"] if number % 2 == 0 else ["train", "--run-dir", str(own / "run")]
        words = ["task=image-classification", "data=images", f"data.path={own / 'rows'}", "tokenizer=processor", "model=local",
                 f"model.path={model}", "model.weights=random", "trainer.max_steps=1", "trainer.batch_size=4", "trainer.precision=fp32"]  # fmt: skip
        yield Case(name, [command[0], *words, *command[1:]], own, control=place is None)


def training(folder: Path) -> list[str]:
    """Writes a tiny model and rows; returns the words that train on them for one step."""
    model = tiny_models.write_model(folder / "model", "bert")
    rows = tiny_models.write_rows(folder / "rows")
    return ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text", f"data.path={rows}",
            "data.accept=[overlap]", "trainer.batch_size=8", "trainer.precision=fp32", "trainer.max_steps=1", "logger=jsonl"]  # fmt: skip


def commands(folder: Path, many: Iterator[tuple[str, list[str]]]) -> Iterator[Case]:
    """Gives each list of words to `train`, `config`, `explain` and a dry run in turn, behind words that would train; a control comes first."""
    base = training(folder)
    for number, (name, words) in enumerate(chain([("control", [])], many)):
        own = folder / f"case-{number}"
        own.mkdir()
        kind = number % 4
        command = ["train", "config", "explain", "train"][kind]
        ending = [["--run-dir", "run"], [], [], ["--dry-run"]][kind]
        yield Case(name, [command, *base, *words, *ending], own, control=not number)


def schedules(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Schedule files, whole and spoiled."""
    from hostile_schedules import hostile_schedules

    made = hostile_schedules(folder / "made", count - 1, seed)
    return commands(folder, ((name, ["freezing=schedule", f"freezing.file={file}"]) for name, file in made))


def configs(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Recipes, whole and spoiled."""
    from hostile_configs import hostile_configs

    made = hostile_configs(folder / "made", count - 1, seed)
    return commands(folder, ((name, [f"recipe={file}"]) for name, file in made))


def models(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Model folders, checked, explained and trained on; a control of each command comes first."""
    from hostile_models import hostile_models

    base = [word for word in training(folder) if not word.startswith(("model.path=", "model.weights="))]
    good = tiny_models.write_model(folder / "good", "bert")
    hostile = hostile_models(folder / "made", count - 1, seed)
    for number, (name, place) in enumerate(chain([("control", good)], hostile)):
        own = folder / f"case-{number}"
        own.mkdir()
        if number:
            place.rename(own / "model")
            place.mkdir()  # the generator removes it
        else:
            shutil.copytree(place, own / "model")
        kind = number % 3
        command = ["train", "check-data", "explain"][kind]
        weights = ["model.weights=random"] if not number else []
        yield Case(name, [command, *base, *weights, f"model.path={own / 'model'}", *(["--run-dir", "run"] if not kind else [])], own, control=not number)  # fmt: skip


NAMES = ("a b", " a", "a ", "a'b", 'a"b', "a,b", "a=b", "=a", "a:b", "{a: b}", "[a]", "[red]x[/]", "[/]", "(a)", "a|b", "a&b", "a;b", "a$b", "$HOME", "${oc.env:HOME}", "`ls`", "$(ls)", "a\\b",
         "\\", "a*b", "?", "~", "~root", "-a", "--help", "--", "#a", "a#b", "%s%n", "!a", "a\nb", "a\tb", "\x1b[31m", "\x07", "\x7f", "\x9b2J", "\u202ea", "\u2028a", "\ud800", "\udcff",
         "\U0001f600", "é" * 100, "a" * 255, "a" * 300, "a" * 5000, "CON", "a.yaml", "a.", "..a", "null", "true", "1e400", "<script>", "@a", "{7*7}")  # fmt: skip


def names(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Hostile names of a run, a data folder, a model folder and an output file, in four commands; a control comes first."""
    folder.mkdir(parents=True)
    base = [word for word in training(folder) if not word.startswith(("model.path=", "data.path="))]
    good, rows = folder / "model", folder / "rows"
    for number, name in enumerate(("control", *NAMES[:count])):
        own = folder / f"case-{number}"
        own.mkdir()
        paths = {key: str(place) for key, place in (("model.path", good), ("data.path", rows))}
        kind = number % 4
        if kind:
            key, source = (("model.path", good), ("data.path", rows), ("data.path", rows))[kind - 1]
            with suppress(OSError, ValueError):
                shutil.copytree(source, own / name)
            paths[key] = f"{own}/{name}"
        ending = [["--run-dir", name], ["--run-dir", "run"], ["--dry-run"], ["--write-clean", name]][kind]
        # Quoted as the grammar of overrides wants it, so that the name itself arrives.
        given = [f"{key}='{path.replace(chr(39), chr(92) + chr(39))}'" for key, path in paths.items()]
        yield Case(
            f"name {name!r}",
            ["check-data" if kind == 3 else "train", *base, *given, *ending],
            own,
            control=not number,
        )


SOURCES = {
    "words": Source("fuzzed words", 1000, word_cases.words),
    "schedules": Source("hostile schedule files", 500, schedules),
    "data": Source("data files of each of five formats, mutated", 10_000, data_cases.data, size=50),
    "configs": Source("hostile recipes", 300, configs),
    "models": Source("hostile model folders", 300, models),
    "images": Source("hostile images", 150, images),
    "names": Source("hostile names of runs, data, models and output files", 60, names),
}
"""Name -> source; the name is the argument of `python -m benchmarks.faults.hostile`."""
