"""Our own keys, without composing a configuration: of the roles' bases, or under choices that were typed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf

from ftcli.config.bundled import conf_files
from ftcli.config.registry import lookup
from ftcli.config.schema import ROLES, RunConfig

TOP_LEVEL = ("recipe", "seed", "seeds", "num_seeds")
"""Keys that belong to no role."""
types_of = functools.cache(get_type_hints)


def schema_keys(cls: Any, prefix: str) -> Iterator[str]:
    """Yields the dotted keys of a configuration class, those of nested classes included."""
    for item in dataclasses.fields(cls):
        kind = types_of(cls)[item.name]
        if dataclasses.is_dataclass(kind):
            yield from schema_keys(kind, f"{prefix}.{item.name}")
        else:
            yield f"{prefix}.{item.name}"


@functools.cache
def base_keys() -> frozenset[str]:
    """Returns the keys that every choice of a role has, and those of no role."""
    bases = types_of(RunConfig)
    return frozenset(TOP_LEVEL).union(*(schema_keys(bases[role], role) for role in ROLES))


def keys_under(typed: Mapping[str, str]) -> frozenset[str]:
    """Returns `base_keys` and the keys of the choices among a command's words, such as `peft=lora`."""
    found = set(base_keys())
    for role in ROLES:
        if file := conf_files(role).get(typed.get(role, "")):
            uses = DictConfig(OmegaConf.load(file)).get("uses") or typed[role]
            found |= set(schema_keys(lookup(role, str(uses)).config_class, role))
    return frozenset(found)
