"""Commands with drawn words: legal ones of every field, numbers at the ends of their types, and hostile ones."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults import figure, forks
from benchmarks.faults.case import Case

import tiny_models  # isort: skip
import tiny_tasks  # isort: skip

assert figure  # its import puts tests/support on the path

ARCHITECTURES = ("bert", "bert", "gpt2", "distilbert", "roberta", "llama")
"""Of the texts; drawn for each case."""
BASE = [
    "model=local",
    "model.weights=random",
    "trainer.batch_size=8",
    "trainer.precision=fp32",
    "trainer.max_steps=2",
    "trainer.threads=1",
]
COMMANDS = {
    "train": ["--run-dir", "run"], "train --quiet": ["--run-dir", "run"], "train --json": ["--run-dir", "run"], "train --dry-run": [], "config": [], "explain": [],
    "check-data": [], "generate-schedule": [], "evaluate": [], "predict": ["--output", "out.csv"], "resume": [],
}  # fmt: skip
"""Command and flag -> what ends its words. evaluate, predict and resume get a run."""
WEIGHTS = (6, 1, 1, 3, 1, 3, 3, 1, 1, 2, 2)
SCORED = ("data.limit_validation", "data.limit_train", "data.encoding", "data.separator", "data.quotes", "data.seed", "task.metrics", "trainer.eval_batch_size",
          "trainer.device", "trainer.precision", "trainer.threads")  # fmt: skip
KEYS_OF = {
    "evaluate": SCORED,
    "predict": SCORED,
    "resume": ("trainer.epochs", "trainer.max_steps", "trainer.log_every_n_steps", "trainer.eval_every_n_steps", "trainer.save_every_n_steps", "trainer.keep_checkpoints",
               "trainer.patience", "trainer.min_delta"),
}  # fmt: skip
"""Command -> keys that may change beside a finished run; the others are refused by name, every time."""


def words(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Gives lists of words to commands, behind words that would train; a control comes first."""
    from fuzzed_words import fuzzed_words

    prepared = Prepared(folder)
    base = prepared.base(tiny_tasks.NAMES[0], "bert")
    yield Case("control", ["train", *base, "--run-dir", "run"], prepared.own(0), control=True)
    draw = random.Random(seed)
    for number, (name, typed) in enumerate(fuzzed_words(count - 1, seed), 1):
        command, ending = draw.choices(list(COMMANDS.items()), WEIGHTS)[0]
        own = prepared.own(number)
        given = on_a_run if command in KEYS_OF else on_words
        yield Case(f"{name} {command}", [*command.split(), *given(prepared, draw, command, typed, own), *ending], own)  # fmt: skip


def on_words(prepared: Prepared, draw: random.Random, command: str, typed: list[str], own: Path) -> list[str]:
    """Returns the words of a command that begins with a configuration."""
    task = next((word[5:] for word in typed if word.startswith("task=")), "")
    task = task if task in tiny_tasks.NAMES else tiny_tasks.NAMES[0]
    architecture = tiny_tasks.MODELS.get(task) or draw.choice(ARCHITECTURES)
    return [*without_those_of(typed, prepared.base(task, architecture)), *typed]


def on_a_run(prepared: Prepared, draw: random.Random, command: str, typed: list[str], own: Path) -> list[str]:
    """Returns a finished run, and words for it: in one of ten cases those for any configuration."""
    from legal_words import words_for_a_run

    task = draw.choice(list(tiny_tasks.TASKS))
    run = prepared.run(task, own / "run" if command == "resume" else None)
    rows = ["--input", prepared.rows(task)] if command == "predict" else []
    words = typed if draw.random() < 0.1 else words_for_a_run(draw, KEYS_OF[command], task)
    return [str(run), *rows, *words]


def without_those_of(typed: list[str], base: list[str]) -> list[str]:
    """Returns the words of a base whose keys are not typed besides; rows of a step are not said beside a token budget."""
    keys = {word.partition("=")[0] for word in typed}
    if "trainer.token_budget" in keys:
        keys.add("trainer.batch_size")
    return [word for word in base if word.partition("=")[0] not in keys]


class Prepared:
    """Models, rows and finished runs that the cases share; each is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._words: dict[str, list[str]] = {}

    def own(self, number: int) -> Path:
        """Makes the folder of a case."""
        place = self.folder / f"case-{number}"
        place.mkdir()
        return place

    def base(self, task: str, architecture: str) -> list[str]:
        """Returns words that train a task on a model for two steps."""
        model = self.folder / "models" / architecture
        if not model.exists():
            tiny_models.write_model(model, architecture)
        if task not in self._words:
            self._words[task] = tiny_tasks.write_rows(
                self.folder / "rows" / task, task, train=24, validation=8
            )
        return [
            *BASE,
            f"model.path={model}",
            *self._words[task],
            "data.accept=[overlap,duplicates,near-overlap]",
        ]

    def rows(self, task: str) -> str:
        """Returns a file to predict."""
        return str(self.folder / "rows" / task / "validation.jsonl")

    def run(self, task: str, copy: Path | None = None) -> Path:
        """Returns a finished run of a task, or a copy of it.

        Raises:
            RuntimeError: it did not train.
        """
        place = self.folder / "runs" / task
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            log = place.with_suffix(".log")
            words = ["train", *self.base(task, tiny_tasks.MODELS.get(task, "bert")), "--run-dir", str(place)]
            if forks.wait(forks.start(words, log, self.folder / "cache"), seconds=120):
                raise RuntimeError(f"the run that cases share did not train: {forks.text_of(log)[-2000:]}")
        if copy is None:
            return place
        shutil.copytree(place, copy, symlinks=True)
        return copy
