"""Recipe, choices and overrides -> the typed configuration of a run, with the origin of every value.

The steps: `overrides` splits the shell's words, `recipes` composes what YAML files state, `typed_tree` sets
value by value. A later source wins: defaults of the choices, then the recipe, then the shell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ftcli.config.dotted import leaves
from ftcli.config.foreign.answer import Typed
from ftcli.config.foreign.words import typed_pairs
from ftcli.config.overrides import Override, join_flags, parse_overrides, split_swaps
from ftcli.config.recipes import Defaults, Recipe, compose_choices, compose_recipe, find_recipe, run_name
from ftcli.config.regular_file import exists
from ftcli.config.schema import ROLES, RunConfig
from ftcli.config.typed_tree import PATHS, TypedTree, as_text
from ftcli.config.validate import problems_of, problems_of_values
from ftcli.errors import ConfigError, Problem

QUICKSTART = "quickstart"
OWN = "own"
"""Where runs are filed that name no recipe and their own model, rows or task: they are no quickstart."""


@dataclass(slots=True)
class Composed:
    """A configuration with the origin of every value."""

    config: RunConfig
    values: DictConfig
    """The same values as a tree, for config.yaml."""
    origins: dict[str, str]
    """Dotted key -> `default`, `recipe`, `shell`, or `run` in a restored configuration."""
    notes: list[str] = field(default_factory=list)
    """Lines to print, such as the recipe's values that a swapped choice dropped."""
    changed: frozenset[str] = frozenset()
    """Keys that overrides changed in a restored configuration."""
    restored: bool = False
    """Whether a run directory, and not the user's own words, names model and rows."""


def load(overrides: list[str]) -> Composed:
    """Composes recipe and overrides into a typed configuration.

    Args:
        overrides: shell words such as `recipe=sst2-lora` and `optimizer.lr=1e-4`.

    Raises:
        ConfigError: holds every problem found, each with the key as typed.
    """
    parsed, problems = parse_overrides(overrides)
    names = [one.value for one in parsed if one.key == "recipe"]
    file = find_recipe(names[-1] if names else QUICKSTART)
    run_name(file.stem)
    recipe = compose_recipe(file)
    typed = typed_pairs(join_flags(overrides))
    swaps, settings, unknown = split_swaps((one for one in parsed if one.key != "recipe"), typed)
    problems += unknown
    swapped = {role for role, choice in swaps.items() if recipe.choices[role] != choice}
    choices = recipe.choices | swaps
    defaults = compose_choices(choices, {role: recipe.choices[role] for role in swapped})
    tree = TypedTree(choices, defaults.uses, typed)
    for key, value in leaves(defaults.values):
        tree.set(key, value, "default")
    notes = _set_recipe(tree, recipe, defaults, swapped)
    for override in settings:
        tree.set_override(override)
    tree.origins |= dict.fromkeys(sorted(swaps), "shell")
    problems += tree.problems
    if problems:
        raise ConfigError(*problems, *_problems_of_rest(tree, settings, problems))
    name = OWN if not names and _is_own(swapped, settings) else recipe.file.stem
    return Composed(tree.to_config(name), tree.values, tree.origins, notes)


def restore(saved: dict[str, Any], overrides: list[str], origins: dict[str, str] | None = None) -> Composed:
    """Rebuilds the configuration of a run from its config.yaml, with overrides applied on top.

    Args:
        saved: what `saved.read_config` gave.
        overrides: shell words of the command that continues the run.
        origins: where the saved values came from; None calls all of them `run`.

    Raises:
        ConfigError: holds every problem found; one is to swap a choice.
    """
    parsed, problems = parse_overrides(overrides)
    typed = typed_pairs(join_flags(overrides))
    tree = _saved_tree(saved, origins or {}, typed)
    before = dict(tree.origins)
    swaps, settings, unknown = split_swaps(parsed, typed)
    hint = "start a new run with ftcli train"
    problems += [*unknown, *(Problem(role, "a run's choices cannot be swapped", hint) for role in swaps)]
    for override in settings:
        tree.set_override(override)
    problems += tree.problems
    if problems:
        raise ConfigError(*problems)
    config = tree.to_config(run_name(saved["recipe"]))
    changed = frozenset(override.key for override in settings)
    return Composed(
        config, tree.values, before | dict.fromkeys(changed, "shell"), changed=changed, restored=True
    )


def names_of_a_run(composed: Composed) -> frozenset[str]:
    """Returns the hub's names, `model.id` and `data.id`, that a run directory holds and the user did not type."""
    return frozenset(("model.id", "data.id")) - composed.changed if composed.restored else frozenset()


def _saved_tree(saved: dict[str, Any], origins: dict[str, str], typed: Typed) -> TypedTree:
    tree = TypedTree(saved["choices"], saved["uses"], typed)
    values = {role: saved[role] for role in ROLES}
    values |= {"seed": saved["seed"], "seeds": saved.get("seeds", [])}
    for key, value in leaves(values):
        tree.set(key, value, origins.get(key, "run"))
    tree.origins |= {role: origin for role, origin in origins.items() if role in ROLES}
    return tree


def _set_recipe(tree: TypedTree, recipe: Recipe, defaults: Defaults, swapped: set[str]) -> list[str]:
    """Sets the recipe's own values, except those of swapped roles, which are returned as notes."""
    stated = dict(leaves(defaults.values | defaults.replaced))
    notes = []
    for key, value in leaves(recipe.tree):
        role = key.split(".")[0]
        if role == "hydra" or key.endswith(".uses"):
            continue
        if key not in recipe.own and key in stated and stated[key] == value:
            continue  # the choice's value, which Hydra put into the recipe's tree
        if role in swapped:
            chosen = f"{role}={tree.choices[role]} was chosen"
            notes.append(f"{key}={as_text(value)} of the recipe is dropped: {chosen}")
        else:
            value = _beside(recipe.file, value) if key in PATHS else value
            tree.set(key, value, "recipe", where=recipe.file.name)
    return notes


def _beside(recipe: Path, value: Any) -> Any:
    """Returns a recipe's relative path as one from the recipe's own folder, if such a file is there."""
    near = recipe.parent / value if isinstance(value, str) else None
    return str(near) if near is not None and exists(near) else value


def _is_own(swapped: set[str], settings: list[Override]) -> bool:
    """Returns whether overrides put another model, other rows or another task in the place of the quickstart's."""
    sources = ("model.path", "model.id", "data.path", "data.id", "data.files.")
    return bool(swapped & {"model", "data", "task"}) or any(one.key.startswith(sources) for one in settings)


def _problems_of_rest(tree: TypedTree, settings: list[Override], found: list[Problem]) -> list[Problem]:
    """Returns what else is wrong beside the overrides that were not understood.

    Where all were, and some only are out of bounds, every problem between fields is among them.
    """
    reported = {problem.key for problem in found}
    try:
        config = tree.to_config(QUICKSTART)
    except ConfigError as error:
        return list(error.problems)
    if len(found) == tree.num_out_of_bounds:
        wrong = problems_of(config)
    else:
        wrong = problems_of_values(config, {override.key for override in settings})
    return [problem for problem in wrong if problem.key not in reported]
