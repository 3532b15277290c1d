"""A plan from config.json alone: no weights, no tokenizer, no rows, and the model on the meta device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ftcli.config.bundled import conf_files
from ftcli.config.registry import lookup, names_of
from ftcli.config.schema import RunConfig
from ftcli.run.inputs import RunInputs, assumed_labels, build_task, room_for_rows

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ftcli.task.base import Task

STUB_MAX_LENGTH = 512
"""Tokens of a row where neither tokenizer.max_length nor the model's positions say less."""


@dataclass(frozen=True, slots=True)
class StubTokenizer:
    """Stands for the tokenizer of a plan: it has lengths and padding, and no vocabulary."""

    pad_id: int
    padding_side: str
    max_length: int
    fingerprint: str = ""
    input_names: tuple[str, ...] = ()

    def save(self, folder: Path, model_folder: Path) -> NoReturn:
        """Raises: there is nothing to write."""
        raise NotImplementedError("a plan has no tokenizer")

    def limits(self) -> list[str]:
        """Returns nothing to say."""
        return []

    def random_rows(self, draw: np.random.Generator, num_rows: int) -> NoReturn:
        """Raises: there is no vocabulary to draw from."""
        raise NotImplementedError("a plan has no tokenizer")


def stub_inputs(config: RunConfig) -> RunInputs:
    """Returns the inputs of a plan: config.json, a stub in place of the tokenizer, assumed labels and no rows."""
    from ftcli.hub.resolve import resolve_model
    from ftcli.model.architecture import padding_side
    from ftcli.model.config_file import load_config

    source = resolve_model(config.model, with_weights=False)
    hf_config = load_config(config.model, source)
    task = build_task(config, labels := assumed_labels(config))
    room, decisions = room_for_rows(config, hf_config)
    decisions += task.check_model(hf_config, None)
    longest = min(n for n in (config.tokenizer.max_length, room, STUB_MAX_LENGTH) if n)
    pad_id = getattr(hf_config, "pad_token_id", None)
    tokenizer = StubTokenizer(pad_id or 0, padding_side(hf_config), longest)
    return RunInputs(config, source, hf_config, tokenizer, task, None, labels, decisions)


def build_meta_model(config: RunConfig) -> torch.nn.Module:
    """Builds the architecture on the meta device, with the task's head.

    An architecture for images takes the head of a task on images, so that its task need not be named. Among tasks on the
    same kind of rows none stands in for another: a schedule names the head's tensors.

    Raises:
        ConfigError: the architecture has no head for the task.
    """
    from ftcli.hub.resolve import resolve_model
    from ftcli.model.config_file import load_config

    source = resolve_model(config.model, with_weights=False)
    hf_config = load_config(config.model, source)
    task = build_task(config)
    built = lookup("model", config.uses["model"]).build(
        config.model,
        source=source,
        hf_config=hf_config,
        auto_classes=(*task.auto_classes, *_heads_for_other_rows(task)),
        problem_type=task.problem_type,
        vocabulary=task.has_vocabulary_head,
        labels=assumed_labels(config),
        pad_id=getattr(hf_config, "pad_token_id", None) or 0,
        seed=config.seed,
        attention="eager",
        meta=True,
    )
    model: torch.nn.Module = built.model
    return model


def _heads_for_other_rows(task: Task) -> list[str]:
    """Returns the transformers classes of the tasks on another kind of rows, each once."""
    known = names_of("task")
    tasks = (lookup("task", name).build for name in conf_files("task") if name in known)
    return list(
        dict.fromkeys(head.auto_class for one in tasks if one.takes != task.takes for head in one.heads)
    )
