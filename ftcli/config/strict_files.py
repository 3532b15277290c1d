"""What Hydra reads while it composes: files through the bounded reader, and no resolver at all.

Hydra's own file source reads YAML without bounds, obeys `# @package` headers, and resolves `${oc.env:NAME}` in a
defaults list while it composes. Here every file, included ones too, is data: no text in it holds `${`, no key names code,
its defaults list names choices of roles and other recipes, and while Hydra runs OmegaConf knows no resolver.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer

from ftcli.config.schema import ROLES
from ftcli.config.yaml_text import read_yaml, refuse_references
from ftcli.errors import ConfigError, Problem

CODE = re.compile(r"_(target|recursive|convert|partial|args)_")
"""Hydra's keys that name a class or function to call."""
RESERVED = ("hydra", "uses", "recipe", "choices")
_INCLUDE = re.compile(r"[\w.+-]+(/[\w.+-]+)*")
_GROUP = re.compile(r"(?:(?:override|optional) +)*/?(" + "|".join(ROLES) + ")")
_HEADER = re.compile(r"^\s*#\s*@\w+", re.MULTILINE)
MAX_HEADER = 512
"""Characters in which Hydra looks for a header."""


def read_strictly(file: Path) -> dict[Any, Any]:
    """Returns a recipe or a choice as plain values.

    Raises:
        ConfigError: it is no mapping, exceeds a bound, refers to another value, names code, or has a defaults list of
            anything but choices and recipes.
    """
    values = read_yaml(file)
    if not isinstance(values, dict):
        raise ConfigError(Problem(str(file), "is not a mapping of keys to values"))
    refuse_references(values, str(file))
    _refuse_code(values, str(file))
    _refuse_defaults(values.get("defaults", []), str(file))
    return values


def refuse_reserved(file: Path, values: dict[Any, Any]) -> None:
    """Raises ConfigError if a recipe sets a key that is Hydra's or that choices alone have."""
    found = [key for key in RESERVED if key in values]
    found += [
        f"{role}.uses" for role in ROLES if isinstance(values.get(role), dict) and "uses" in values[role]
    ]
    if found:
        raise ConfigError(*(Problem(f"{file}: {key}", "this key cannot be set in a recipe") for key in found))


def read_choice(file: Path) -> dict[Any, Any]:
    """Returns the values of one choice, read once for each state of its file: read them, never write to them.

    Raises:
        ConfigError: see `read_strictly`; also a `# @package` header, or a key of Hydra's.
    """
    found = file.stat()
    return _choice(file, found.st_mtime_ns, found.st_size, found.st_ino)


@functools.lru_cache(maxsize=512)
def _choice(file: Path, *_: int) -> dict[Any, Any]:
    values = read_strictly(file)
    _refuse_header(file)
    if "hydra" in values:
        raise ConfigError(Problem(f"{file}: hydra", "this key cannot be set in a choice"))
    return values


def _refuse_header(file: Path) -> None:
    with open(file, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
        if _HEADER.search(stream.read(MAX_HEADER)):
            raise ConfigError(Problem(str(file), "a `# @package` header is refused", "take the line out"))


@contextmanager
def strict_files() -> Iterator[None]:
    """Lets Hydra read files by `read_strictly` alone, and takes OmegaConf's resolvers away, inside the `with` block."""
    Plugins.instance()  # registers Hydra's own source, which would otherwise come later
    sources, resolvers = SourcesRegistry.instance().types, BaseContainer._resolvers
    own = sources["file"]
    sources["file"] = _StrictSource
    try:
        yield
    finally:
        sources["file"] = own
        BaseContainer._resolvers = resolvers


def without_resolvers() -> None:
    """Forgets every resolver; Hydra registers its own when it is initialised, so that this comes after."""
    BaseContainer._resolvers = {}


class _StrictSource(FileConfigSource):
    """A folder of YAML files, each read by `read_strictly`."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Returns one file as Hydra wants it, without a header.

        Raises:
            ConfigError: see `read_strictly`; also a `# @package` header, or a reserved key in an included recipe.
        """
        file = Path(self.path) / self._normalize_file_name(config_path)
        if "/" in config_path:
            values = read_choice(file)
        else:
            values = read_strictly(file)
            _refuse_header(file)
            refuse_reserved(file, values)
        defaults = values.get("defaults")
        if defaults and "_self_" not in defaults:
            # Hydra would let the choices win over the file's own values, and warn.
            values = values | {"defaults": [*defaults, "_self_"]}
        config = OmegaConf.create(values)
        assert isinstance(config, DictConfig)
        return ConfigResult(
            config=config, path=f"file://{self.path}", provider=self.provider, header={"package": None}
        )


def _refuse_code(node: Any, where: str) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str | int | float):
                raise ConfigError(Problem(where, f"{str(key)[:80]!r} is no key"))
            if CODE.search(str(key)):
                hint = "choose by group, such as optimizer: adamw"
                raise ConfigError(Problem(f"{where}: {key}", "a configuration cannot name code", hint))
            _refuse_code(value, f"{where}: {key}")
    elif isinstance(node, list):
        for value in node:
            _refuse_code(value, where)


def _refuse_defaults(entries: Any, file: str) -> None:
    """Raises ConfigError if a defaults list holds anything but names of recipes and choices of roles."""
    key, hint = f"{file}: defaults", "such as `- base` and `- override optimizer: sgd`"
    if not isinstance(entries, list):
        raise ConfigError(Problem(key, "is not a list", hint))
    for entry in entries:
        if isinstance(entry, str) and _is_name(entry):
            continue
        if isinstance(entry, dict) and len(entry) == 1:
            [(group, choice)] = entry.items()
            known = isinstance(group, str) and _GROUP.fullmatch(group)
            if known and (
                choice is None or (isinstance(choice, str) and _is_name(choice) and "/" not in choice)
            ):
                continue
        raise ConfigError(Problem(key, f"{str(entry)[:200]!r} is no recipe and no choice of a role", hint))


def _is_name(text: str) -> bool:
    return _INCLUDE.fullmatch(text) is not None and ".." not in text
