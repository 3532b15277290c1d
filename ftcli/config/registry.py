"""Name <-> config class <-> build function, one module a choice.

`ftcli/<role>/<choice>.py` registers itself with a decorator; `conf/<role>/<choice>.yaml` gives its
values. A YAML that shares another choice's module says `uses: <module>`, or `uses: <module>.<entry>` where
the module registers several config classes. Nothing else is edited to add a choice.

A name is only looked up in `ftcli/<role>/` and among the entry points of installed packages (groups
`ftcli.<role>`, and `ftcli.conf` for their YAML): no configuration can name another module to import.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from ftcli.errors import ConfigError, Problem, did_you_mean

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered choice: its config class and the function or class that builds it."""

    config_class: Any
    """Dataclass of its fields; None where the role has none, as metrics."""
    build: Any
    """Function or class. What it takes depends on the role: callers annotate it with a Protocol."""


_ENTRIES: dict[tuple[str, str], Entry] = {}


def register(role: str, config_class: Any = None, *, entry: str = "") -> Callable[[T], T]:
    """Registers the decorated builder as the choice named after its module.

    `sequence_classification.py` is the choice `sequence-classification`. A module that builds several
    choices, each with its config class, names them: `entry="ia3"` in `injected.py` is `injected.ia3`.

    Args:
        role: such as `optimizer`.
        config_class: dataclass of the choice's fields, a `RoleConfig`.
        entry: name within the module, where it registers several choices.
    """

    def enter(build: T) -> T:
        name = build.__module__.rpartition(".")[2].replace("_", "-")
        name = f"{name}.{entry}" if entry else name
        _ENTRIES[role, name] = Entry(config_class, build)
        return build

    return enter


def names_of(role: str) -> list[str]:
    """Returns the names of a role's modules and plugins, without those that begin with an underscore."""
    found = {name.replace("_", "-") for name in _modules(role)}
    return sorted(name for name in found | _plugins(role).keys() if not name.startswith(("_", "-")))


@functools.cache
def _modules(role: str) -> frozenset[str]:
    package = importlib.import_module(f"ftcli.{role}")
    return frozenset(module.name for module in pkgutil.iter_modules(package.__path__))


def _plugins(role: str) -> dict[str, EntryPoint]:
    """Returns name -> entry point of the installed packages that add a choice to a role.

    The group is `ftcli.<role>`, the name that of the choice, the value the module that registers it.
    """
    return {entry.name.replace("_", "-"): entry for entry in _entries(f"ftcli.{role}", tuple(sys.path))}


@functools.lru_cache
def _entries(group: str, _: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Returns the entry points of a group, read once for each `sys.path`: every installed package has a file of them."""
    return tuple(entry_points(group=group))


def lookup(role: str, name: str) -> Entry:
    """Returns the entry of `ftcli/<role>/<name>.py`, or that of `<module>.<entry>`.

    Raises:
        ConfigError: no such module, or a module that registers nothing.
    """
    module = name.partition(".")[0].replace("-", "_")
    if module in _modules(role):
        importlib.import_module(f"ftcli.{role}.{module}")
    elif name in (plugins := _plugins(role)):
        plugins[name].load()
    if (role, name) not in _ENTRIES:
        message = f"there is no {role} named {name!r}"
        raise ConfigError(Problem(role, message, did_you_mean(name, names_of(role))))
    return _ENTRIES[role, name]


def split_name(name: str) -> tuple[str, str | None]:
    """Splits a metric's name as typed: `map@3` into ("map", "3") and `accuracy` into ("accuracy", None)."""
    base, sign, parameter = name.partition("@")
    return base, parameter if sign else None
