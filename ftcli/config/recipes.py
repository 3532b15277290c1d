"""Recipes and choices: found, read strictly, and composed by Hydra into plain values.

Hydra resolves which YAML file fills which role. Types are not its business here: `typed_tree` sets the
values one by one, so that every mistake is found and all of them are shown at once.
"""

from __future__ import annotations

import functools
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ftcli.config.bundled import bundled, conf_folders
from ftcli.config.dotted import leaves
from ftcli.config.fields import wrong_text
from ftcli.config.regular_file import absolute, is_file, kind_of
from ftcli.config.schema import ROLES
from ftcli.config.strict_files import (
    read_choice,
    read_strictly,
    refuse_reserved,
    strict_files,
    without_resolvers,
)
from ftcli.errors import ConfigError, Problem, did_you_mean, typed_words

_NAME = re.compile(r"\w[\w.+=@, ()-]*(?<! )")
MAX_NAME = 100
"""Characters of a recipe's name: it names a folder."""


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
    return {name: file.resolve() for name, file in _files().items()}


def _files() -> dict[str, Path]:
    folders = (bundled("recipes"), Path("recipes"))
    files = (p for folder in folders if folder.is_dir() for p in sorted(folder.glob("*.yaml")))
    return {p.stem: p for p in files if p.is_file()}


def find_recipe(name: str) -> Path:
    """Returns the file of a recipe given by name or by path.

    Raises:
        ConfigError: neither a known name nor a file.
    """
    known = _files()
    if name in known:
        return known[name].resolve()
    if wrong := wrong_text(name):
        raise ConfigError(Problem("recipe", f"got {name[:200]!r}", wrong))
    path = Path(absolute(name))
    if kind := kind_of(path):
        hint = (
            f"give the recipe's file in it, such as {typed_words(f'recipe={name}/NAME.yaml')}"
            if path.is_dir()
            else ""
        )
        raise ConfigError(Problem("recipe", f"{name} is {kind}, no recipe", hint))
    if is_file(path):
        if path.suffix != ".yaml":
            raise ConfigError(
                Problem("recipe", f"{name} is no recipe", "the name of a recipe's file ends in .yaml")
            )
        return path.resolve()
    shown = name if len(name) <= 200 else f"{name[:200]}..."
    raise ConfigError(Problem("recipe", f"there is no recipe {shown!r}", did_you_mean(shown, known)))


def run_name(stem: str) -> str:
    """Returns the name under which runs of a recipe are filed: its file's, which has to be that of a folder.

    Raises:
        ConfigError: dots alone, a hidden name, separators or control characters, or a name that is too long.
    """
    fine = _NAME.fullmatch(stem) and len(stem.encode("utf-8", "replace")) <= MAX_NAME
    if not fine:
        message = f"{stem[:MAX_NAME]!r} cannot name the folder of the runs"
        hint = f"rename the recipe's file: letters, digits, '.', '_', '-' and spaces, {MAX_NAME} bytes at most, no dot first"
        raise ConfigError(Problem("recipe", message, hint))
    return stem


def compose_recipe(file: Path) -> Recipe:
    """Composes a recipe as Hydra's primary config.

    Raises:
        ConfigError: not a recipe, one that names code or sets a reserved key, or one without a choice for a role.
    """
    raw = read_strictly(file)
    refuse_reserved(file, raw)
    tree = _compose(file.parent, file.stem, (), conf_folders(), repr(raw))
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
    files = {pair: _choice_file(*pair) for pair in (*choices.items(), *replaced.items())}
    plain = {pair: read_choice(file) for pair, file in files.items() if file}
    if len(plain) == len(files) and not any("defaults" in values for values in plain.values()):
        # Each file is its role's values as it stands: Hydra, which takes a tenth of a second, would give the same.
        tree = {role: plain[pair] for role, pair in zip(choices, choices.items(), strict=True)}
        tree["seed"] = read_choice(bundled("conf") / "base.yaml")["seed"]
        swapped = {role: plain[role, choice] for role, choice in replaced.items()}
    else:
        overrides = [f"{role}={choice}" for role, choice in sorted(choices.items())]
        overrides += [f"+{role}@replaced.{role}={choice}" for role, choice in sorted(replaced.items())]
        tree = _compose(bundled("conf"), "base", tuple(overrides), conf_folders())
        swapped = {role: tree["replaced"][role] for role in replaced}
    values: dict[str, Any] = {role: dict(tree[role]) for role in ROLES}
    uses = {role: str(values[role].pop("uses", choice)) for role, choice in choices.items()}
    return Defaults(values | {"seed": tree["seed"]}, swapped, uses)


def _choice_file(role: str, choice: str) -> Path | None:
    """Returns the file of a choice, ours before a plugin's; None: Hydra says what is wrong with the name."""
    places = (folder / role / f"{choice}.yaml" for folder in conf_folders())
    return next((place for place in places if is_file(place)), None) if _NAME.fullmatch(choice) else None


@functools.lru_cache(maxsize=256)
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
        with (
            warnings.catch_warnings(),
            strict_files(),
            initialize_config_dir(str(folder), version_base="1.3"),
        ):
            without_resolvers()
            # Hydra warns of changes between its own versions.
            warnings.simplefilter("ignore", UserWarning)
            tree = hydra_compose(name, [f"hydra.searchpath=[{quoted}]", *overrides], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, RecursionError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(Problem(str(folder / f"{name}.yaml"), " ".join(str(error).split()))) from error
    values: Any = OmegaConf.to_container(tree, resolve=False)
    return dict(values)
