"""A choice of a role with its typed configuration: from a YAML file, with other values on top."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ftcli.config.bundled import conf_files
from ftcli.config.dotted import REFERENCE, holds_reference
from ftcli.config.fields import wrong_value
from ftcli.config.foreign.words import choice_hint, field_hint
from ftcli.config.registry import lookup
from ftcli.config.schema import RoleConfig
from ftcli.errors import ConfigError, Problem

C = TypeVar("C", bound=RoleConfig, covariant=True)


@dataclass(frozen=True, slots=True)
class Choice(Generic[C]):
    """What fills a role: values are typed and validated once, when this is made."""

    name: str
    """The YAML file, such as `adamw`."""
    uses: str
    """Module that builds it; differs from the name where several choices share a builder."""
    config: C


def choices_of(role: str) -> list[str]:
    """Returns the names of the YAML files of a role."""
    return list(conf_files(role))


def typed_choice(
    role: str, name: str, values: Mapping[str, Any], where: str, base: RoleConfig | None = None
) -> Choice[Any]:
    """Returns a choice with `values` set.

    Args:
        role: such as `optimizer`.
        name: name of a YAML file of that role.
        values: field -> plain value.
        where: stands in front of problems.
        base: configuration to begin with; None: the choice's YAML.

    Raises:
        ConfigError: an unknown choice or field, or a value of another type or out of its range.
    """
    if name not in (known := choices_of(role)):
        raise ConfigError(
            Problem(where, f"there is no {role} named {name!r}", choice_hint(role, name, known))
        )
    stated = DictConfig(OmegaConf.load(conf_files(role)[name]))
    uses = str(stated.pop("uses", name))
    if base is None:
        tree = OmegaConf.merge(OmegaConf.structured(lookup(role, uses).config_class), stated)
    else:
        tree = OmegaConf.structured(base)
    problems = []
    for key, value in values.items():
        if key not in tree:
            hint = field_hint(key, [str(field) for field in tree], value)
            problems.append(Problem(f"{where}: {role}", f"there is no field {key!r} in {name}", hint))
            continue
        shown = f"{where}: {role}.{key}"
        if holds_reference(value):
            problems.append(Problem(shown, *REFERENCE))
            continue
        try:
            tree = OmegaConf.merge(tree, {key: value})
        except (OmegaConfBaseException, ValueError, TypeError, OverflowError) as error:
            message = str(error).splitlines()[0]
            problems.append(Problem(shown, f"{str(value)[:200]!r} does not fit: {message}"))
    if problems:
        raise ConfigError(*problems)
    config: Any = OmegaConf.to_object(tree)
    if outside := list(_out_of_bounds(config, "")):
        raise ConfigError(
            *(Problem(f"{where}: {role}.{key}", f"got {value}", why) for key, value, why in outside)
        )
    if wrong := config.problems():
        raise ConfigError(*(Problem(f"{where}: {p.key}", p.message, p.hint) for p in wrong))
    return Choice(name, uses, config)


def plain_values(config: RoleConfig) -> dict[str, Any]:
    """Returns a configuration as JSON values: an enum's member becomes its value."""
    values = dataclasses.asdict(config)
    plain: dict[str, Any] = json.loads(
        json.dumps(values, default=lambda v: v.value if isinstance(v, Enum) else str(v))
    )
    return plain


def _out_of_bounds(config: Any, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yields (key, value, what was expected) of the fields whose values are out of bounds."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _out_of_bounds(value, f"{prefix}{field.name}.")
        elif wrong := wrong_value(type(config), field.name, value):
            yield f"{prefix}{field.name}", str(value)[:200], wrong
