"""Folders of choices and recipes: those that ship with ftcli, in an installation or a checkout, and of plugins."""

from __future__ import annotations

import functools
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def bundled(name: str) -> Path:
    """Returns the folder `conf` or `recipes`: inside the installed package, else beside it in a checkout.

    Raises:
        FileNotFoundError: neither exists; the installation is broken.
    """
    for folder in (PACKAGE / "_bundled" / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"ftcli was installed without its {name} folder; install it again")


def conf_folders() -> tuple[Path, ...]:
    """Returns the folders of choices: ours first, then `conf/` of each installed plugin.

    A plugin names its package in the entry point group `ftcli.conf`; the package is not imported for it.
    """
    return (bundled("conf"), *_plugins(tuple(sys.path)))


@functools.lru_cache
def _plugins(_: tuple[str, ...]) -> list[Path]:
    """Returns plugins' folders.

    Looking into every installed distribution takes longer than the rest of composing: it is done once for
    each `sys.path`, the argument.
    """
    specs = [find_spec(entry.module) for entry in entry_points(group="ftcli.conf")]
    places = [
        Path(place) / "conf" for spec in specs if spec for place in spec.submodule_search_locations or []
    ]
    return [place for place in places if place.is_dir()]


def conf_files(role: str) -> dict[str, Path]:
    """Returns choice -> its YAML file, by name; ours win over a plugin's."""
    found: dict[str, Path] = {}
    for folder in conf_folders():
        for file in sorted((folder / role).glob("*.yaml")):
            found.setdefault(file.stem, file)
    return dict(sorted(found.items()))
