"""A trainer on a tiny model and tiny rows, built as `ftcli train` builds it."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import tiny_models
import tiny_tasks

DEFAULTS = ["trainer.batch_size=8", "trainer.precision=fp32", "trainer.threads=1", "optimizer.lr=1e-3", "trainer.epochs=2",
            "trainer.log_every_n_steps=1", "tokenizer.max_length=24"]  # fmt: skip
DEVICE = "cpu"
"""Where runs without a runtime of their own train; `pytest --device` sets it."""


class Events:
    """Keeps what the loop logs and says."""

    def __init__(self) -> None:
        self.logged: list[dict] = []
        self.notes: list[str] = []

    def log(self, event: dict) -> None:
        self.logged.append(event)

    def note(self, line: str) -> None:
        self.notes.append(line)

    def flush(self) -> None: ...
    def train(self, event: dict, total_steps: int) -> None: ...
    def advance(self, step: int, total_steps: int) -> None: ...
    def evaluation(self, event: dict, best: bool) -> None: ...


def words_for(folder: Path, architecture: str, *, train: int = 24, weights: bool = False) -> list[str]:
    """Writes model and rows; returns the words that choose them; `weights`: a pretrained base too."""
    model = tiny_models.write_model(folder / architecture, architecture)
    task = "image-classification" if architecture in tiny_models.IMAGES else "sequence-classification"
    if weights:
        _write_base(model)
    rows = tiny_tasks.write_rows(folder / f"rows-{task}-{train}", task, train=train, validation=8)
    return ["model=local", f"model.path={model}", f"model.weights={'pretrained' if weights else 'random'}", *rows, "trainer.threads=1",
            "trainer.batch_size=8", "trainer.precision=fp32", "optimizer.lr=1e-2", "trainer.log_every_n_steps=1"]  # fmt: skip


def _write_base(folder: Path) -> None:
    """Writes the weights of the base alone, as a pretrained model has them; the head stays to be drawn."""
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)


def config_of(words: list[str], peft: str = "none", *, trainer: dict | None = None, **fields):
    """Returns the run's configuration: that of `words`, composed once, with a PEFT method and its fields."""
    from ftcli.config.choice import typed_choice

    base = _composed(tuple(words))
    own = typed_choice("peft", peft, fields, "test")
    return replace(
        base,
        peft=own.config,
        choices=base.choices | {"peft": peft},
        uses=base.uses | {"peft": own.uses},
        trainer=replace(base.trainer, **(trainer or {})),
    )


@functools.lru_cache(maxsize=64)
def _composed(words: tuple[str, ...]):
    from ftcli.config.compose import load

    return load(list(words)).config


def build_words(
    folder: Path,
    saved: Path,
    words,
    *,
    architecture: str = "bert",
    rows: int,
    validation: int,
    task: str | None = None,
):
    """Writes model and rows and builds what `words`, and defaults beside them, choose; as `build_run`, with the runtime of a run."""
    from ftcli.config.compose import load
    from ftcli.runtime.decide import decide_runtime

    if task is None:
        path = tiny_models.write_rows(folder / f"rows{rows}", train=rows, validation=validation)
        chosen = ["data=text", f"data.path={path}"]
    else:
        chosen = tiny_tasks.write_rows(folder / task, task, train=24, validation=9)
    model = tiny_models.write_model(folder / architecture, architecture)
    chosen = ["model=local", f"model.path={model}", "model.weights=random", *chosen, *words]
    given = {word.partition("=")[0] for word in chosen}
    config = load([*(word for word in DEFAULTS if word.partition("=")[0] not in given), *chosen]).config
    return build_run(config, saved, decide_runtime(config, 24))


def build_run(config, saved: Path, runtime=None):
    """Returns (trainer at step 0, built); checkpoints go to `saved`."""
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.run.session import RunSession
    from ftcli.runtime.decide import Runtime
    from ftcli.trainer.signals import StopFlag

    session, events, fast = RunSession(config), Events(), DEVICE == "cpu"
    session.runtime = runtime or Runtime(DEVICE, "fp32", "eager", 1, fast_paths=fast, first_token=fast)
    store = CheckpointStore(saved, keep=config.trainer.keep_checkpoints)
    trainer = session.trainer(store=store, events=events, reporter=events, stop=StopFlag())
    return trainer, session.built
