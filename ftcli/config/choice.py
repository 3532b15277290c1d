"""A choice of a role outside the recipe's own: its YAML's values, and others on top, typed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ftcli.config.bundled import conf_files
from ftcli.config.registry import lookup
from ftcli.errors import ConfigError, Problem, did_you_mean


def choices_of(role: str) -> list[str]:
    """Returns the names of the YAML files of a role."""
    return list(conf_files(role))


def configured(
    role: str, choice: str, values: Mapping[str, Any], where: str, base: Any = None
) -> tuple[str, Any]:
    """Returns (module that builds the choice, its config with `values` set).

    Args:
        role: such as `optimizer`.
        choice: name of a YAML file of that role.
        values: field -> value.
        where: stands in front of problems.
        base: configuration to begin with; None: the choice's YAML.

    Raises:
        ConfigError: an unknown choice or field, or a value of another type or out of its range.
    """
    if choice not in (known := choices_of(role)):
        raise ConfigError(Problem(where, f"there is no {role} named {choice!r}", did_you_mean(choice, known)))
    stated = DictConfig(OmegaConf.load(conf_files(role)[choice]))
    uses = str(stated.pop("uses", choice))
    schema = OmegaConf.structured(lookup(role, uses).config_class if base is None else base)
    tree = OmegaConf.merge(schema, stated) if base is None else schema
    problems = []
    for key, value in values.items():
        if key not in schema:
            hint = did_you_mean(key, [str(name) for name in schema])
            problems.append(Problem(f"{where}: {role}", f"there is no field {key!r} in {choice}", hint))
            continue
        try:
            tree = OmegaConf.merge(tree, {key: value})
        except OmegaConfBaseException as error:
            message = str(error).splitlines()[0]
            problems.append(Problem(f"{where}: {role}.{key}", f"{value!r} does not fit: {message}"))
    if problems:
        raise ConfigError(*problems)
    config: Any = OmegaConf.to_object(tree)
    wrong = config.problems() if hasattr(config, "problems") else []
    if wrong:
        raise ConfigError(*(Problem(f"{where}: {p.key}", p.message, p.hint) for p in wrong))
    return uses, config


def plain_values(config: Any) -> dict[str, Any]:
    """Returns a configuration as JSON values; `configured` reads them back."""
    values = dataclasses.asdict(config)
    plain: dict[str, Any] = json.loads(
        json.dumps(values, default=lambda v: v.value if isinstance(v, Enum) else str(v))
    )
    return plain
