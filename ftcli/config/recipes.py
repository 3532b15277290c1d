"""Recipes and choices: found, read strictly, and composed by Hydra into plain values.

Hydra resolves which YAML file fills which role. Types are not its business here: `typed_tree` sets the
values one by one, so that every mistake is found and all of them are shown at once.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ftcli.config.bundled import bundled, conf_folders
from ftcli.config.dotted import leaves
from ftcli.config.schema import ROLES
from ftcli.errors import ConfigError, Problem, did_you_mean

RESOLVER = re.compile(r"\$\{\s*[^}]*:")
"""OmegaConf's `${name:...}`: it calls a function, which no configuration may."""
CODE = re.compile(r"_(target|recursive|convert|partial|args)_")
"""Hydra's keys that name a class or function to call."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe, composed."""

    file: Path
    tree: dict[str, Any]
    """Role -> its values, and the top-level ones. It is cached: read it, never write to it."""
    choices: dict[str, str]
    """Role -> choice."""
    own: frozenset[str]
    """Dotted keys that the file itself sets."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the YAML files of the choices state."""

    values: dict[str, Any]
    """Role -> values of its choice, and `seed`."""
    replaced: dict[str, Any]
    """Role -> values of the recipe's choice, for roles in which another one was chosen."""
    uses: dict[str, str]
    """Role -> module that builds its choice."""


def recipes() -> dict[str, Path]:
    """Returns recipe name -> file; ./recipes wins over the bundled ones."""
    folders = (bundled("recipes"), Path("recipes"))
    return {
        p.stem: p.resolve() for folder in folders if folder.is_dir() for p in sorted(folder.glob("*.yaml"))
    }


def find_recipe(name: str) -> Path:
    """Returns the file of a recipe given by name or by path.

    Raises:
        ConfigError: neither a known name nor a file.
    """
    known = recipes()
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path.resolve()
    raise ConfigError(Problem("recipe", f"there is no recipe {name!r}", did_you_mean(name, known)))


def compose_recipe(file: Path) -> Recipe:
    """Composes a recipe as Hydra's primary config.

    Raises:
        ConfigError: not a recipe, one that names code or sets a reserved key, or one without a choice for a role.
    """
    raw, text = _read_strictly(file)
    tree = _compose(file.parent, file.stem, (), conf_folders(), text)
    chosen = tree["hydra"]["runtime"]["choices"]
    missing = [role for role in ROLES if role not in chosen]
    if missing:
        message = f"chooses nothing for {', '.join(missing)}"
        raise ConfigError(Problem(str(file), message, "begin its defaults with `- base`"))
    own = {key for key, _ in leaves({name: value for name, value in raw.items() if name != "defaults"})}
    return Recipe(file, tree, {role: str(chosen[role]) for role in ROLES}, frozenset(own))


def compose_choices(choices: dict[str, str], replaced: dict[str, str]) -> Defaults:
    """Composes the YAML files of choices, without a recipe.

    Args:
        choices: role -> choice, of every role.
        replaced: role -> the recipe's choice, for roles in which another one was chosen. One composition gives both.

    Raises:
        ConfigError: Hydra cannot compose them.
    """
    overrides = [f"{role}={choice}" for role, choice in sorted(choices.items())]
    overrides += [f"+{role}@replaced.{role}={choice}" for role, choice in sorted(replaced.items())]
    tree = _compose(bundled("conf"), "base", tuple(overrides), conf_folders())
    values: dict[str, Any] = {role: dict(tree[role]) for role in ROLES}
    uses = {role: str(values[role].pop("uses", choice)) for role, choice in choices.items()}
    return Defaults(
        values | {"seed": tree["seed"]}, {role: tree["replaced"][role] for role in replaced}, uses
    )


@functools.lru_cache(maxsize=64)
def _compose(
    folder: Path, name: str, overrides: tuple[str, ...], search: tuple[Path, ...], text: str = ""
) -> dict[str, Any]:
    """Composes one primary config with the folders of choices behind it, as plain values.

    Hydra takes a fifth of a second, so the result is cached: read it, never write to it.

    Args:
        folder: holds `<name>.yaml`.
        name: the primary config.
        overrides: Hydra's overrides.
        search: `conf_folders()`.
        text: contents of the file if it may change while the process lives; part of the cache's key.

    Raises:
        ConfigError: Hydra's own message, as one problem.
    """
    # Hydra reads the search path with its override grammar: quotes and backslashes are escaped.
    places = [f"file://{place}".replace("\\", "\\\\").replace("'", "\\'") for place in search]
    quoted = ",".join(f"'{place}'" for place in places)
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            tree = hydra_compose(name, [f"hydra.searchpath=[{quoted}]", *overrides], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(Problem(str(folder / f"{name}.yaml"), " ".join(str(error).split()))) from error
    values: Any = OmegaConf.to_container(tree, resolve=False)
    return dict(values)


def _read_strictly(file: Path) -> tuple[dict[Any, Any], str]:
    """Returns a recipe (as data, as text): YAML 1.2 floats, no duplicate keys, nothing that names code."""
    try:
        raw = OmegaConf.load(file)
        text = file.read_text(encoding="utf-8")
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(Problem(str(file), f"is not valid YAML: {' '.join(str(error).split())}")) from error
    if not isinstance(raw, DictConfig):
        raise ConfigError(Problem(str(file), "is not a mapping of keys to values"))
    _refuse_code(file, text)
    _refuse_reserved(file, raw)
    values = OmegaConf.to_container(raw, resolve=False)
    assert isinstance(values, dict)
    return values, text


def _refuse_code(file: Path, text: str) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("#")[0]
        if RESOLVER.search(code):
            message = "resolvers (${name:...}) are refused: a configuration runs no code"
            raise ConfigError(Problem(f"{file}:{number}", message))
        if CODE.search(code):
            hint = "choose by group, such as optimizer: adamw"
            raise ConfigError(Problem(f"{file}:{number}", "a configuration cannot name code", hint))


def _refuse_reserved(file: Path, raw: DictConfig) -> None:
    reserved = [key for key in ("hydra", "uses", "recipe", "choices") if key in raw]
    reserved += [
        f"{role}.uses"
        for role in ROLES
        if role in raw and isinstance(raw[role], DictConfig) and "uses" in raw[role]
    ]
    if reserved:
        raise ConfigError(
            *(Problem(f"{file}: {key}", "this key cannot be set in a recipe") for key in reserved)
        )
