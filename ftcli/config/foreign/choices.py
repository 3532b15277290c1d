"""Choices, metrics and commands of other tools -> ours.

Names are looked up in the tables of `names.py`; a model or a data set may also be a file, a folder or any id of the hub.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ftcli.config.bundled import conf_files
from ftcli.config.foreign.answer import Answer, Typed
from ftcli.config.foreign.names import CHOICES, COMMANDS, METRICS
from ftcli.config.regular_file import is_folder
from ftcli.errors import nearest, typed_words

_OF_THE_HUB = "from the hub; model=minilm comes as a package"

_TABLE_FILES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_TAGGED_FILES = (".conll", ".bio", ".iob", ".iob2")


def slug(value: str) -> str:
    """Returns a name in lower case with hyphens, as our choices are written."""
    return value.strip().strip("'\"").lower().replace("_", "-").replace(" ", "-")


def answer_choice(role: str, value: str, typed: Typed, *, near: bool = True) -> Answer | None:
    """Returns what to type for a choice that a group does not have.

    Args:
        role: such as `task`.
        value: as typed.
        typed: the other words of the command.
        near: offer the nearest choices beside a name of the hub, which may be a misspelt choice.

    Returns:
        None where only the nearest name can be offered.
    """
    name, known = slug(value), conf_files(role)
    if name in known:
        return _named(role, name)
    for choice, others in CHOICES.get(role, {}).items():
        if name in others.split():
            return choice if isinstance(choice, Answer) else _named(role, choice)
    if role in ("data", "model") and name:
        answer = _data(value, typed) if role == "data" else _model(value)
        plain = near and len(answer.words) > 1 and not re.search(r"[/.]", value)
        misspelt = nearest(value, known) if plain else []
        return _or_nearest(answer, misspelt) if misspelt else answer
    return None


def _named(role: str, choice: str) -> Answer:
    """Returns the word of a choice; of a model also where it comes from, as the hub may be out of reach."""
    of_hub = role == "model" and choice not in ("minilm", "local")
    return Answer((f"{role}={choice}",), _OF_THE_HUB if of_hub else "")


def is_choice(role: str, value: str) -> bool:
    """Returns whether a word alone names a choice of a role, in our spelling or another tool's."""
    names = {name for others in CHOICES.get(role, {}).values() for name in others.split()}
    by_id = role == "model" and value.lower() in _choice_of_id(role)
    return slug(value) in names or slug(value) in conf_files(role) or by_id


def is_data_file(value: str) -> bool:
    """Returns whether a word looks like a file of rows."""
    return Path(value).suffix.lower() in _TABLE_FILES + _TAGGED_FILES


def metric_name(name: str) -> str | None:
    """Returns our name of a figure such as `eval_f1_macro`, or None where it has no other name."""
    short = re.sub(r"^(eval|val|valid|validation|dev|test)-(?=.)", "", slug(name))
    ours = next((own for own, others in METRICS.items() if short in others.split()), short)
    return None if ours == name else ours


def command_for(name: str) -> str | None:
    """Returns our command for another tool's, None where only the nearest name can be offered."""
    return next((own for own, others in COMMANDS.items() if slug(name) in others.split()), None)


def _or_nearest(answer: Answer, near: list[str]) -> Answer:
    """Returns the answer for a bare name that may also be a misspelt choice."""
    shown = typed_words(*answer.words)
    return Answer(note=f"did you mean {' or '.join(near)}? for a name of the hub type {shown}")


def _data(value: str, typed: Typed) -> Answer:
    """A file, a folder, a GLUE task or the hub id of a choice, else any hub id."""
    suffix = Path(value).suffix.lower()
    if suffix in _TAGGED_FILES:
        return Answer(("data=text", "data.format=conll", f"data.files.train={value}"))
    if suffix in _TABLE_FILES:
        return Answer(("data=text", f"data.files.train={value}"))
    if _is_folder(value):
        return Answer(("data=text", f"data.path={value}"))
    subset = next(
        (typed[key] for key in ("dataset_config_name", "dataset_config", "subset") if typed.get(key)), ""
    )
    group, _, inner = value.partition("/")
    if slug(group) in ("glue", "super-glue"):
        value, subset = "nyu-mll/glue" if slug(group) == "glue" else "aps/super_glue", inner or subset
    if choice := _choice_of_id("data").get(f"{value} {subset}".strip().lower()):
        return Answer((f"data={choice}",))
    if slug(group).endswith("glue") and slug(subset) in conf_files("data"):
        return Answer((f"data={slug(subset)}",))
    words = ("data=text", f"data.id={value}", *((f"data.subset={subset}",) if subset else ()))
    return Answer(words, "data.columns.text=... and data.columns.label=... name its columns")


def _model(value: str) -> Answer:
    """A folder, the hub id of a choice, else any hub id."""
    if _is_folder(value):
        return Answer(("model=local", f"model.path={value}"))
    if choice := _choice_of_id("model").get(value.lower()):
        return _named("model", choice)
    return Answer(("model=local", f"model.id={value}"))


def _is_folder(value: str) -> bool:
    return value.startswith((".", "/", "~")) or value.endswith("/") or is_folder(value)


@lru_cache
def _choice_of_id(role: str) -> dict[str, str]:
    """Returns `id` or `id subset` of the YAML files of a role, whole and without its owner, in lower case -> choice."""
    found: dict[str, str] = {}
    for choice, file in conf_files(role).items():
        stated = DictConfig(OmegaConf.load(file))
        name = f"{stated.get('id') or ''} {stated.get('subset') or ''}".strip().lower()
        found |= {name: choice, name.rpartition("/")[2]: choice} if name else {}
    return found
