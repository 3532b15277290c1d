"""Checks between fields that no single type can make; returns all problems, raises none."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from ftcli.config.foreign.words import metric_hint
from ftcli.config.registry import lookup, names_of, split_name
from ftcli.config.regular_file import absolute, exists, is_folder, kind_of
from ftcli.config.schema import DATA_CHECKS, ROLES, RoleConfig, RunConfig, Weights
from ftcli.errors import Problem, did_you_mean, nearest, typed_words

MAX_SHOWN = 200
"""Characters of a path that a problem shows."""
MAX_LISTED = 10_000
"""Names of a folder among which the nearest is looked for."""


class TaskClass(Protocol):
    """What is read of a task before it is built."""

    takes: str
    """`texts` or `images`."""
    kinds: Collection[str]
    """Kinds of predictions that its metrics may score."""
    combinable: bool
    """Whether several models can predict as one."""


class MetricClass(Protocol):
    """What is read of a metric before it is built."""

    kinds: Collection[str]
    takes: str
    """What the parameter behind `@` may be; empty: there is none."""

    @staticmethod
    def wrong(parameter: str | None) -> str:
        """Returns what is wrong with the parameter, or ''."""


def problems_of(config: RunConfig) -> list[Problem]:
    """Returns every problem that can be seen without a model, rows or a network."""
    found = [
        *_trainer(config),
        *_values(config),
        *_roles(config),
        *_paths(config),
        *_peft(config),
        *_processes(),
    ]
    for role in ROLES:
        part: RoleConfig = getattr(config, role)
        found += part.problems()
    return found


def problems_of_values(config: RunConfig, keys: set[str]) -> list[Problem]:
    """Returns the problems of these keys that no other value can be the cause of: out of range, or not there.

    For a configuration some of whose overrides were not understood: a comparison with what they would have
    set may be wrong. A problem of one value alone begins with `got` or `there is no`.

    Args:
        config: with the values that were understood.
        keys: dotted keys that were set.
    """
    return [
        p for p in problems_of(config) if p.key in keys and p.message.startswith(("got ", "there is no "))
    ]


def _trainer(config: RunConfig) -> Iterator[Problem]:
    trainer = config.trainer
    micro = trainer.stated_micro_batch
    if micro and micro > trainer.batch_size and trainer.token_budget is None:
        message = f"{micro} is more than trainer.batch_size={trainer.batch_size}"
        yield Problem("trainer.micro_batch_size", message, "it only splits the batch: type a smaller one")
    yield from _token_budget(config)
    yield from _monitor(config)


def _monitor(config: RunConfig) -> Iterator[Problem]:
    trainer = config.trainer
    figures = [*config.task.metrics, "loss"]
    deciding = trainer.monitor or next(iter(config.task.metrics), "loss")
    if split_name(deciding)[1] == "class":
        key = "trainer.monitor" if trainer.monitor else "task.metrics"
        message = f"{deciding} is a figure for each label: it cannot decide which checkpoint is best"
        yield Problem(key, message, f"name {split_name(deciding)[0]} first, or as trainer.monitor")
    if trainer.monitor is not None and trainer.monitor not in figures:
        hint = metric_hint(trainer.monitor, figures, "trainer.monitor=")
        yield Problem("trainer.monitor", f"{trainer.monitor!r} is not measured", hint)


def _token_budget(config: RunConfig) -> Iterator[Problem]:
    if config.trainer.token_budget is None:
        return
    if config.data.holds == "images":
        message = "images all have the same number of patches"
        yield Problem("trainer.token_budget", message, "type trainer.batch_size=N, rows a step, instead")
    if config.optimizer.scale_lr:
        message = "scales by the rows of a batch, and under trainer.token_budget they are not one number"
        yield Problem("optimizer.scale_lr", message, "type optimizer.lr=... instead")


def _values(config: RunConfig) -> Iterator[Problem]:
    for name in config.data.accept:
        if name not in DATA_CHECKS:
            yield Problem("data.accept", f"there is no finding {name!r}", did_you_mean(name, DATA_CHECKS))


def _roles(config: RunConfig) -> Iterator[Problem]:
    if not config.task.metrics:
        yield Problem("task.metrics", "the list is empty", "name at least one, such as [accuracy]")
    yield from _metrics(config)
    yield from _holds(config)
    yield from _seeds(config)
    if not (config.model.path or config.model.id or getattr(config.model, "package", None)):
        yield Problem(
            "model.path",
            f"model={config.choices['model']} names no model by itself",
            "type model.path=DIR or model.id=NAME",
        )
    if (
        config.model.dtype.value == "float16"
        and config.trainer.precision.value == "fp16"
        and config.choices["peft"] == "none"
    ):
        yield Problem("model.dtype", "fp16 training keeps fp32 weights", "type model.dtype=float32")


def _holds(config: RunConfig) -> Iterator[Problem]:
    """Rows, tokenizer and task must all be of texts, or all of images."""
    task: TaskClass = lookup("task", config.uses["task"]).build
    choices, takes = config.choices, task.takes
    if config.data.holds != takes:
        message = f"data={choices['data']} holds {config.data.holds}, task={choices['task']} takes {takes}"
        yield Problem("data", message, f"type data={'images' if takes == 'images' else 'text'} data.path=DIR")
    if config.tokenizer.takes != takes:
        message = (
            f"tokenizer={choices['tokenizer']} takes {config.tokenizer.takes}, task={choices['task']} {takes}"
        )
        yield Problem("tokenizer", message, f"type tokenizer={'processor' if takes == 'images' else 'auto'}")


def _seeds(config: RunConfig) -> Iterator[Problem]:
    """Seeds make an ensemble, which some tasks cannot have."""
    task: TaskClass = lookup("task", config.uses["task"]).build
    if config.seeds and not task.combinable:
        message = f"several models of task={config.choices['task']} do not predict as one"
        yield Problem("seeds", message, f"type seed={config.seeds[0]}, and start a run for each seed")


def _metrics(config: RunConfig) -> Iterator[Problem]:
    task: TaskClass = lookup("task", config.uses["task"]).build
    known: dict[str, MetricClass] = {name: lookup("metric", name).build for name in names_of("metric")}
    fitting = [name for name, metric in known.items() if set(metric.kinds) & set(task.kinds)]
    for typed in config.task.metrics:
        name, parameter = split_name(typed)
        if name not in known:
            yield Problem("task.metrics", f"there is no metric {name!r}", metric_hint(name, known))
        elif name not in fitting:
            message = f"{typed} does not score what task={config.choices['task']} predicts"
            yield Problem("task.metrics", message, f"it takes {', '.join(fitting)}")
        elif problem := known[name].wrong(parameter):
            takes = known[name].takes
            yield Problem("task.metrics", problem, f"it takes {takes}" if takes else f"type {name}")


def named_paths(config: RunConfig) -> dict[str, tuple[str | None, str]]:
    """Returns key -> (path of the user's that a run reads, or None; what is expected there)."""
    random = config.model.weights is Weights.random
    return {
        "model.path": (config.model.path, "file or folder" if random else "folder"),
        "data.path": (config.data.path, "folder"),
        "data.files.train": (config.data.files.train, "file"),
        "data.files.validation": (config.data.files.validation, "file"),
        "data.files.test": (config.data.files.test, "file"),
        "tokenizer.path": (getattr(config.tokenizer, "path", None), "folder"),
        "freezing.file": (getattr(config.freezing, "file", None), "file"),
        "freezing.start_from": (getattr(config.freezing, "start_from", None), "folder"),
    }


def _paths(config: RunConfig) -> Iterator[Problem]:
    for key, (value, kind) in named_paths(config).items():
        if value is None:
            continue
        path = Path(absolute(value))
        is_special = kind_of(path) not in ("", "a folder")
        if not exists(path):
            shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}..."
            yield Problem(key, f"there is no {kind} {shown}", _near_path(path))
        elif is_special:
            yield Problem(key, f"{value} is {kind_of(path)}", f"a {kind} is expected")
        elif kind == "folder" and not path.is_dir():
            yield Problem(
                key,
                f"{value} is a file",
                "a folder is expected" + (": type data.files.train=FILE" if key == "data.path" else ""),
            )
        elif kind == "file" and path.is_dir():
            other = ": type data.path=DIR for a folder" if key.startswith("data.") else ""
            yield Problem(key, f"{value} is a folder", "a file is expected" + other)


def _near_path(path: Path) -> str:
    parent = path.parent
    if not is_folder(parent):
        shown = str(parent) if len(str(parent)) <= MAX_SHOWN else f"{str(parent)[:MAX_SHOWN]}..."
        return f"the folder {shown} does not exist either"
    try:
        near = nearest(path.name[:255], [p.name for p in islice(parent.iterdir(), MAX_LISTED)])
    except OSError:
        near = []
    return f"did you mean {typed_words(parent / near[0])}?" if near else f"look into {typed_words(parent)}"


def _peft(config: RunConfig) -> Iterator[Problem]:
    peft, freezing = config.choices["peft"], config.choices["freezing"]
    if peft != "none" and freezing in ("head-only", "bias-only"):
        message = f"freezing={freezing} would freeze the adapters of peft={peft}"
        yield Problem("freezing", message, "type freezing=none (the base is frozen anyway) or peft=none")
    if config.trainer.gradient_checkpointing and config.peft.uncheckpointed:
        key = "trainer.gradient_checkpointing"
        message = f"does not go with peft={peft}: {config.peft.uncheckpointed}"
        yield Problem(key, message, f"type {key}=false; a smaller trainer.micro_batch_size saves memory too")


def _processes() -> Iterator[Problem]:
    if int(os.environ.get("WORLD_SIZE", "1") or 1) > 1:
        message = f"started as one of {os.environ['WORLD_SIZE']} processes"
        yield Problem("WORLD_SIZE", message, "training is one process for now: start ftcli without torchrun")
