"""RunConfig -> model source, tokenizer, task and rows: what every command needs before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftcli.config.registry import lookup
from ftcli.config.schema import RunConfig, Weights
from ftcli.errors import ConfigError, DataError, Problem

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ftcli.batching.protocols import Tokenizer
    from ftcli.batching.rows import DatasetSplits
    from ftcli.hub.resolve import Source
    from ftcli.task.base import Task

SHORTEST_ROW = 4
"""Positions that a soft prompt must leave to the rows; the tokenizer role takes no shorter max_length."""


@dataclass(slots=True)
class RunInputs:
    """What every command begins with: where the model comes from, its tokenizer, the task and the rows."""

    config: RunConfig
    source: Source
    hf_config: PreTrainedConfig
    tokenizer: Tokenizer
    """Of texts, or an image processor."""
    task: Task
    splits: DatasetSplits | None
    """Training, validation and test rows; None where rows come from elsewhere."""
    labels: list[str]
    """Names of the head's outputs, by id."""
    decisions: list[str]
    """Lines on what was decided for the user."""


def load_inputs(
    config: RunConfig,
    *,
    labels: list[str] | None = None,
    learned: dict[str, float] | None = None,
    with_rows: bool = True,
) -> RunInputs:
    """Finds model, tokenizer and rows; reads no weights and tokenizes nothing.

    Args:
        config: the run's.
        labels: names from a finished run; None learns them from the training rows.
        learned: what the task learned beside them in the run that is continued or scored; None: what it learns now.
        with_rows: False where rows come from elsewhere.

    Raises:
        SourceError: there is no such model, or it cannot be reached.
        ConfigError: a PEFT method that leaves no positions to the rows.
        DataError: rows that cannot be read, or labels that do not fit the task.
    """
    from ftcli.hub.resolve import resolve_model
    from ftcli.model.architecture import padding_side
    from ftcli.model.config_file import load_config

    source = resolve_model(config.model, with_weights=config.model.weights is Weights.pretrained)
    hf_config = load_config(config.model, source)
    task = build_task(config, labels)
    task.check_model(hf_config, None)  # before the tokenizer, whose own complaint would not name the cause
    room, lines = room_for_rows(config, hf_config)
    tokenizer = lookup("tokenizer", config.uses["tokenizer"]).build(
        config.tokenizer,
        model_source=source,
        random_weights=config.model.weights is Weights.random,
        model_config=hf_config,
        max_positions=room,
        padding_side=padding_side(hf_config),
    )
    fitted = task.check_model(hf_config, tokenizer)
    decisions = [*source.decisions, *lines, *tokenizer.decisions, *fitted]
    splits = None
    if with_rows:
        held_out = config.data.validation_share is not None and config.data.files.validation is None
        splits = lookup("data", config.uses["data"]).build(
            config.data, seed=rows_seed(config), needs_train=labels is None or held_out, fields=task.fields()
        )
        decisions += splits.decisions
    if labels is None:
        labels = assumed_labels(config) if splits is None else task.learn_labels(splits)
        decisions += task.notes if learned is None else []
    if learned is not None:
        task.restore(learned)
    _require_utf8(labels)
    return RunInputs(config, source, hf_config, tokenizer, task, splits, labels, decisions)


def _require_utf8(labels: list[str]) -> None:
    """Raises DataError for a name that no file of text can hold, that of an export included."""
    for label in labels:
        if any("\ud800" <= character <= "\udfff" for character in label):
            message = f"the label {label!a:.80} holds half of a character, or bytes that are not UTF-8"
            raise DataError(Problem("labels", message, "give this class another name in the data"))


def room_for_rows(config: RunConfig, hf_config: PreTrainedConfig) -> tuple[int | None, list[str]]:
    """Returns the positions that are left to rows, None where no length is too long, and a line on those taken.

    Raises:
        ConfigError: the PEFT method takes so many that tokenizer.max_length, or any row, has no room.
    """
    from ftcli.model.architecture import max_positions

    positions, taken = max_positions(hf_config), config.peft.num_positions
    if positions is None or not taken:
        return positions, []
    room, length = positions - taken, config.tokenizer.max_length
    text = f"peft={config.choices['peft']} takes {taken} of the model's {positions} positions"
    if room < SHORTEST_ROW:
        hint = f"type peft.num_virtual_tokens={max(1, min(20, positions // 4))}"
        raise ConfigError(Problem("peft.num_virtual_tokens", text, hint))
    if length is not None and room < length:
        message = f"is {length}; {text}"
        raise ConfigError(
            Problem("tokenizer.max_length", message, f"type tokenizer.max_length={room} or less")
        )
    return room, [f"{text}; rows have the other {room}"]


def build_task(config: RunConfig, labels: list[str] | None = None) -> Task:
    task_class: type[Task] = lookup("task", config.uses["task"]).build
    names = config.data.label_names
    task = task_class(config.task, columns=config.data.columns, label_names=labels or names)
    task.declared_names = names
    return task


def rows_seed(config: RunConfig) -> int:
    """Returns the seed that draws the rows of a limit."""
    return config.seed if config.data.seed is None else config.data.seed


def assumed_labels(config: RunConfig) -> list[str]:
    """Returns names of the head's outputs where there are no rows to learn them from."""
    return config.data.label_names or build_task(config).assumed_labels()
