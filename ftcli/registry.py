"""Name <-> config class <-> build function, one module a choice.

`ftcli/<role>/<choice>.py` registers itself with a decorator; `conf/<role>/<choice>.yaml` gives its
values. A YAML that shares another choice's module says `uses: <module>`. Nothing else is edited to
add a choice, and no name ever becomes an import path outside `ftcli/<role>/`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ftcli.errors import ConfigError, Problem, did_you_mean

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered choice: its config class and the function or class that builds it."""

    role: str
    name: str
    config_class: Any
    build: Callable[..., Any]


_ENTRIES: dict[tuple[str, str], Entry] = {}


def register(role: str, config_class: Any = None) -> Callable[[T], T]:
    """Registers the decorated builder as the choice named after its module.

    `sequence_classification.py` is the choice `sequence-classification`.
    """

    def enter(build: T) -> T:
        name = build.__module__.rpartition(".")[2].replace("_", "-")
        _ENTRIES[role, name] = Entry(role, name, config_class, build)
        return build

    return enter


def names_of(role: str) -> list[str]:
    """Returns the names of a role's modules; those that begin with an underscore are no choices."""
    package = importlib.import_module(f"ftcli.{role}")
    found = sorted(m.name for m in pkgutil.iter_modules(package.__path__))
    return [name.replace("_", "-") for name in found if not name.startswith("_")]


def lookup(role: str, name: str) -> Entry:
    """Returns the entry of `ftcli/<role>/<name>.py`.

    Raises:
        ConfigError: no such module, or a module that registers nothing.
    """
    package = importlib.import_module(f"ftcli.{role}")
    modules = {m.name for m in pkgutil.iter_modules(package.__path__)}
    module = name.replace("-", "_")
    if module in modules:
        importlib.import_module(f"ftcli.{role}.{module}")
    if (role, name) not in _ENTRIES:
        known = [m.replace("_", "-") for m in modules]
        raise ConfigError(Problem(role, f"there is no {role} named {name!r}", did_you_mean(name, known)))
    return _ENTRIES[role, name]
