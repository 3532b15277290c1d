"""Recipe + shell words -> `RunConfig`. The only importer of Hydra.

Hydra resolves which YAML fills which role; each value is then set one by one into typed schemas,
so that every mistake is found, named as it was typed, and all of them are shown at once.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ftcli.config.bundled import bundled, conf_folders
from ftcli.config.choice import choices_of
from ftcli.config.registry import lookup
from ftcli.config.schema import ROLES, RunConfig
from ftcli.errors import ConfigError, Problem, did_you_mean, nearest

QUICKSTART = "quickstart"
OWN = "own"
"""Where runs are filed that name no recipe and their own model, rows or task: they are no quickstart."""
RESOLVER = re.compile(r"\$\{\s*[^}]*:")
TOP_LEVEL = ("recipe", "seed", "seeds", "num_seeds")
LARGEST_SEED = 2**63 - 1
NO_SEEDS: dict[str, Any] = {"seed": 42, "seeds": [], "num_seeds": 1}
TOP_TYPES: dict[str, Any] = {"seed": int, "seeds": list[int], "num_seeds": int}
PATHS = (
    "model.path",
    "tokenizer.path",
    "data.path",
    "data.files.train",
    "data.files.validation",
    "data.files.test",
    "freezing.file",
    "freezing.start_from",
)
"""Keys whose values are made absolute, so that a run can be continued from another folder."""


@dataclass(slots=True)
class Composed:
    """A configuration with the origin of every value.

    `origins` maps a dotted key to `default`, `recipe` or `shell`; `notes` are lines to print, such
    as the recipe's values that a swapped choice dropped.
    """

    config: RunConfig
    values: DictConfig
    origins: dict[str, str]
    notes: list[str] = field(default_factory=list)
    changed: frozenset[str] = frozenset()
    """Keys that words changed in a restored configuration."""


@dataclass(slots=True)
class Word:
    """One shell word `key=value`, split but not yet interpreted."""

    text: str
    key: str
    value: str


@dataclass(slots=True)
class _Recipe:
    """A recipe composed as Hydra's primary config; `choices` is role -> choice, `own` the keys its file sets."""

    file: Path
    tree: dict[str, Any]
    choices: dict[str, str]
    own: set[str]


def load(words: list[str]) -> Composed:
    """Composes recipe and words into a typed configuration.

    Raises:
        ConfigError: holds every problem found, each with the key as typed.
    """
    problems: list[Problem] = []
    parsed = [w for w in (_split(text, problems) for text in _joined_flags(words)) if w is not None]
    _no_repeats(parsed, problems)
    recipe_words = [w for w in parsed if w.key == "recipe"]
    recipe = _compose_recipe(find_recipe(recipe_words[-1].value if recipe_words else QUICKSTART))
    swaps, settings = _sort_words([w for w in parsed if w.key != "recipe"], problems)
    dropped_roles = {role for role, choice in swaps.items() if recipe.choices[role] != choice}
    final_choices = recipe.choices | swaps
    defaults, replaced = _compose_base(final_choices, {role: recipe.choices[role] for role in dropped_roles})
    uses = {role: str(defaults[role].pop("uses", choice)) for role, choice in final_choices.items()}
    tree = _Tree(final_choices, uses, problems)
    for key, value in _leaves(defaults):
        tree.set(key, value, "default")
    notes = _apply_recipe(tree, recipe, defaults | replaced, dropped_roles)
    for word in settings:
        tree.set_word(word)
    for role in sorted(swaps):
        tree.origins[role] = "shell"
    if problems:
        raise ConfigError(*problems, *_of_values(tree, settings, problems))
    own = not recipe_words and _is_own(dropped_roles, settings)
    return tree.finish(OWN if own else recipe.file.stem, notes)


def _is_own(swapped: set[str], settings: list[Word]) -> bool:
    """Returns whether words put another model, other rows or another task in the place of the quickstart's."""
    sources = ("model.path", "model.id", "data.path", "data.id", "data.files.")
    return bool(swapped & {"model", "data", "task"}) or any(w.key.startswith(sources) for w in settings)


def _of_values(tree: _Tree, settings: list[Word], found: list[Problem]) -> list[Problem]:
    """Returns what is wrong with the values of the words that were understood, beside words that were not."""
    from ftcli.config.validate import problems_of_values

    said = {problem.key for problem in found}
    for key in said & NO_SEEDS.keys():  # these have no schema that keeps a wrong value out
        tree.tree[key] = NO_SEEDS[key]
    try:
        config = tree.finish(QUICKSTART, []).config
    except ConfigError as error:
        return list(error.problems)
    return [p for p in problems_of_values(config, {word.key for word in settings}) if p.key not in said]


def restore(saved: dict[str, Any], words: list[str], origins: dict[str, str] | None = None) -> Composed:
    """Rebuilds the configuration of a run from its config.yaml, with words applied on top.

    Args:
        saved: what `recording.read_config` gave.
        words: shell words of the command that continues the run.
        origins: where the saved values came from; None calls all of them `run`.
    """
    came = origins or {}
    problems: list[Problem] = []
    parsed = [w for w in (_split(text, problems) for text in words) if w is not None]
    tree = _Tree(saved["choices"], saved["uses"], problems)
    for role in ROLES:
        for key, value in _leaves({role: saved[role]}):
            tree.set(key, value, came.get(key, "run"))
    tree.set("seed", saved["seed"], came.get("seed", "run"))
    tree.set("seeds", saved.get("seeds", []), came.get("seeds", "run"))
    tree.origins |= {role: origin for role, origin in came.items() if role in ROLES}
    before = dict(tree.origins)
    swaps, settings = _sort_words(parsed, problems)
    for role in swaps:
        problems.append(
            Problem(role, "a run's choices cannot be swapped", "start a new run with ftcli train")
        )
    for word in settings:
        tree.set_word(word)
    if problems:
        raise ConfigError(*problems)
    composed = tree.finish(saved["recipe"], [])
    composed.changed = frozenset(word.key for word in settings) if settings else frozenset()
    composed.origins = before | dict.fromkeys(composed.changed, "shell")
    return composed


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


def _joined_flags(words: list[str]) -> list[str]:
    """Joins `--optimizer.lr 1e-3`, a habit from other tools, so that it is answered as one mistake."""
    joined: list[str] = []
    for word in words:
        if (
            joined
            and joined[-1].startswith("--")
            and "=" not in joined[-1]
            and "=" not in word
            and not word.startswith("-")
        ):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _split(text: str, problems: list[Problem]) -> Word | None:
    """Splits one word at its first `=`; refuses Hydra's own operators and other tools' habits."""
    if text.startswith("-"):
        problems.append(_flag_habit(text))
        return None
    key, sign, value = text.partition("=")
    key = key.strip()
    if text[0:1] in "+~" or key.endswith("+"):
        problems.append(
            Problem(
                text, "words set existing keys; +, ++ and ~ are not used", f"type {key.strip('+~')}=VALUE"
            )
        )
    elif not sign:
        hint = "type recipe=" + text if text in recipes() else "type key=value, such as optimizer.lr=1e-4"
        problems.append(Problem(text, "this word has no '='", hint))
    elif key.split(".")[0] == "hydra" or key.startswith("hydra/"):
        problems.append(
            Problem(
                key, "Hydra's own settings cannot be changed", "ftcli train --run-dir DIR sets the folder"
            )
        )
    elif RESOLVER.search(value):
        problems.append(Problem(key, "resolvers (${name:...}) are refused: a configuration runs no code"))
    else:
        return Word(text, key, value)
    return None


def _flag_habit(text: str) -> Problem:
    name, _, value = text.lstrip("-").partition("=")
    if "." in name or name in ROLES or name in TOP_LEVEL:
        return Problem(text, "hyperparameters are words, not flags", f"type {name}={value or 'VALUE'}")
    flags = [
        "--run-dir",
        "--resume",
        "--dry-run",
        "--profile",
        "--quiet",
        "--json",
        "--allow-change",
        "--checkpoint",
        "--input",
        "--output",
        "--force",
        "--help",
    ]
    near = nearest(text.partition("=")[0], flags, 1)
    return Problem(text, "there is no such flag", f"did you mean {near[0]}?" if near else "see --help")


def _no_repeats(words: list[Word], problems: list[Problem]) -> None:
    seen: dict[str, str] = {}
    for word in words:
        if word.key in seen and seen[word.key] != word.value:
            problems.append(
                Problem(word.key, f"given twice, as {seen[word.key]!r} and {word.value!r}", "keep one")
            )
        seen[word.key] = word.value


def _sort_words(words: list[Word], problems: list[Problem]) -> tuple[dict[str, str], list[Word]]:
    """Returns (role -> choice of the words that swap one, the words that set a value)."""
    swaps: dict[str, str] = {}
    settings: list[Word] = []
    for word in words:
        if word.key in ROLES:
            known = choices_of(word.key)
            if word.value in known:
                swaps[word.key] = word.value
            else:
                message = f"there is no {word.key} named {word.value!r}"
                problems.append(Problem(word.key, message, did_you_mean(word.value, known)))
        else:
            settings.append(word)
    return swaps, settings


@functools.lru_cache(maxsize=64)
def _compose(
    folder: Path, name: str, words: tuple[str, ...], search: tuple[Path, ...], text: str = ""
) -> dict[str, Any]:
    """Composes one primary config with the folders of choices behind it, as plain values; Hydra's messages become one problem.

    Hydra takes a fifth of a second, so what came out is kept: read it, never write to it.

    Args:
        folder: holds `<name>.yaml`.
        name: the primary config.
        words: Hydra's overrides.
        search: `conf_folders()`.
        text: what the file holds, where it is one that may change while the process lives.
    """
    places = [f"file://{place}".replace("\\", "\\\\").replace("'", "\\'") for place in search]
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            quoted = ",".join(f"'{place}'" for place in places)
            tree = hydra_compose(name, [f"hydra.searchpath=[{quoted}]", *words], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(Problem(str(folder / f"{name}.yaml"), " ".join(str(error).split()))) from error
    values: Any = OmegaConf.to_container(tree, resolve=False)
    return values


def _compose_base(choices: dict[str, str], replaced: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns (what the choices state, role -> what the choice that was replaced states), from one composition."""
    words = [f"{role}={choice}" for role, choice in sorted(choices.items())]
    words += [f"+{role}@replaced.{role}={choice}" for role, choice in sorted(replaced.items())]
    tree = _compose(bundled("conf"), "base", tuple(words), conf_folders())
    own = {role: dict(tree[role]) for role in ROLES} | {"seed": tree["seed"]}
    return own, {role: tree["replaced"][role] for role in replaced}


def _compose_recipe(file: Path) -> _Recipe:
    raw, text = _read_strictly(file)
    tree = _compose(file.parent, file.stem, (), conf_folders(), text)
    chosen = tree["hydra"]["runtime"]["choices"]
    missing = [role for role in ROLES if role not in chosen]
    if missing:
        raise ConfigError(
            Problem(
                str(file), f"chooses nothing for {', '.join(missing)}", "begin its defaults with `- base`"
            )
        )
    own = {key for key, _ in _leaves({name: value for name, value in raw.items() if name != "defaults"})}
    return _Recipe(file, tree, {role: str(chosen[role]) for role in ROLES}, own)


def _read_strictly(file: Path) -> tuple[dict[Any, Any], str]:
    """Returns a recipe (as data, as text): YAML 1.2 floats, no duplicate keys, nothing that names code."""
    try:
        raw = OmegaConf.load(file)
        text = file.read_text(encoding="utf-8")
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(Problem(str(file), f"is not valid YAML: {' '.join(str(error).split())}")) from error
    if not isinstance(raw, DictConfig):
        raise ConfigError(Problem(str(file), "is not a mapping of keys to values"))
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("#")[0]
        if RESOLVER.search(code):
            raise ConfigError(
                Problem(
                    f"{file}:{number}", "resolvers (${name:...}) are refused: a configuration runs no code"
                )
            )
        if re.search(r"_(target|recursive|convert|partial|args)_", code):
            raise ConfigError(
                Problem(
                    f"{file}:{number}",
                    "a configuration cannot name code",
                    "choose by group, such as optimizer: adamw",
                )
            )
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
    values = OmegaConf.to_container(raw, resolve=False)
    assert isinstance(values, dict)
    return values, text


def _apply_recipe(tree: _Tree, recipe: _Recipe, base: dict[str, Any], dropped: set[str]) -> list[str]:
    """Sets the recipe's own values, except those of swapped roles, which are returned as notes."""
    stated = dict(_leaves(base))
    notes = []
    for key, value in _leaves(recipe.tree):
        role = key.split(".")[0]
        if role == "hydra" or key.endswith(".uses"):
            continue
        if key not in recipe.own and key in stated and stated[key] == value:
            continue
        if role in dropped:
            notes.append(
                f"{key}={_shown(value)} of the recipe is dropped: {role}={tree.choices[role]} was chosen"
            )
        else:
            tree.set(
                key, _beside(recipe.file, value) if key in PATHS else value, "recipe", where=recipe.file.name
            )
    return notes


def _beside(recipe: Path, value: Any) -> Any:
    """Returns a recipe's relative path as one from the recipe's own folder, where such a file is there."""
    near = recipe.parent / value if isinstance(value, str) else None
    return str(near) if near is not None and near.exists() else value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(_shown(v) for v in value) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _leaves(node: dict[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, plain value); a list is one value."""
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{name}.")
        elif not isinstance(value, dict):
            yield name, value


class _Tree:
    """Typed schemas of all roles, filled one value at a time; problems are collected."""

    def __init__(self, choices: dict[str, str], uses: dict[str, str], problems: list[Problem]) -> None:
        self.choices, self.uses, self.problems = dict(choices), dict(uses), problems
        self.origins: dict[str, str] = dict.fromkeys(TOP_TYPES, "default")
        self.classes = {
            role: lookup(role, self.uses[role]).config_class for role in ROLES if role != "trainer"
        }
        self.classes["trainer"] = get_type_hints(RunConfig)["trainer"]
        self.tree = OmegaConf.create({role: OmegaConf.structured(cls) for role, cls in self.classes.items()})
        self.tree.update(NO_SEEDS)
        self.known = {key for role, cls in self.classes.items() for key in _schema_keys(cls, role)}
        self.known |= set(TOP_TYPES)
        self.origins |= dict.fromkeys(self.known, "default")

    def set(self, key: str, value: Any, origin: str, where: str = "") -> None:
        shown = f"{where}: {key}" if where else key
        if key not in self.known:
            self.problems.append(self._unknown(key, shown))
            return
        if key in PATHS and isinstance(value, str) and "${" not in value:
            value = str(Path(value).expanduser().absolute())
        try:
            member = _member(_field_type(self.classes, key), _clean(value))
            OmegaConf.update(self.tree, key, member, merge=False)
            resolved = OmegaConf.select(self.tree, key)
            if key in TOP_TYPES and (wrong := _wrong_seed(key, resolved)):
                raise ValueError(wrong)
            self.origins[key] = origin
        except (OmegaConfBaseException, ValueError) as error:
            hint = str(error) if key in TOP_TYPES else self._expected(key)
            message = f"got {_shown(value)!r}"
            self.problems.append(Problem(shown, message, hint or str(error).splitlines()[0]))

    def set_word(self, word: Word) -> None:
        if word.key not in self.known:
            self.problems.append(self._unknown(word.key, word.key))
            return
        try:
            value = _parse_value(word)
        except (HydraException, OverrideParseException):
            if not self._takes_text(word.key):
                self.problems.append(Problem(word.key, f"got {word.value!r}", self._expected(word.key)))
                return
            value = word.value
        if isinstance(value, dict):
            self.problems.append(
                Problem(word.key, "a mapping is not one value", f"type {word.key}.KEY=VALUE")
            )
            return
        if self._takes_text(word.key) and not isinstance(value, str | None):
            value = word.value
        self.set(word.key, value, "shell")

    def finish(self, recipe: str, notes: list[str]) -> Composed:
        try:
            OmegaConf.resolve(self.tree)
        except OmegaConfBaseException as error:
            raise ConfigError(Problem("${...}", str(error).splitlines()[0])) from error
        parts: dict[str, Any] = {role: OmegaConf.to_object(self.tree[role]) for role in ROLES}
        seeds, number = list(self.tree.seeds), self.tree.num_seeds
        if seeds and number > 1:
            raise ConfigError(
                Problem("num_seeds", "seeds are listed already", "keep one of seeds and num_seeds")
            )
        self.tree.seeds = seeds = seeds or (
            list(range(self.tree.seed, self.tree.seed + number)) if number > 1 else []
        )
        self.tree.num_seeds = 1
        config = RunConfig(
            recipe=recipe, seed=self.tree.seed, seeds=seeds, choices=self.choices, uses=self.uses, **parts
        )
        return Composed(config, self.tree, self.origins, notes)

    def _unknown(self, key: str, shown: str) -> Problem:
        role = key.split(".")[0]
        if role in ROLES and self.choices[role] not in ("none",) and "." in key:
            siblings = {k for k in self.known if k.startswith(f"{role}.")}
        else:
            siblings = self.known | set(ROLES)
        elsewhere = [k for k in sorted(self.known) if k.endswith("." + key.rpartition(".")[2])]
        if elsewhere and not nearest(key, siblings, 1):
            hint = "did you mean " + " or ".join(elsewhere[:3]) + "?"
        elif nearest(key, siblings, 1) or role in ROLES:
            hint = did_you_mean(key, siblings)
        else:
            hint = (
                did_you_mean(key, [*self.known, *ROLES])
                if nearest(key, self.known)
                else "ftcli config lists every key"
            )
        chosen = f" ({role}={self.choices[role]} is chosen)" if role in ROLES else ""
        return Problem(shown, f"there is no such key{chosen}", hint)

    def _takes_text(self, key: str) -> bool:
        return _field_type(self.classes, key) in (str, str | None)

    def _expected(self, key: str) -> str:
        kind = TOP_TYPES.get(key) or _field_type(self.classes, key)
        return "expected " + _type_name(kind)


def _wrong_seed(key: str, value: Any) -> str:
    """Returns what a seed, a list of seeds or their number should be, or ''."""
    low = 1 if key == "num_seeds" else 0
    values = list(value) if key == "seeds" and OmegaConf.is_list(value) else [value]
    if all(isinstance(v, int) and not isinstance(v, bool) and low <= v <= LARGEST_SEED for v in values):
        return "expected seeds that differ" if len(set(values)) < len(values) else ""
    kind, such = (
        ("a list of whole numbers", ", such as [1,2,3]") if key == "seeds" else ("a whole number", "")
    )
    return f"expected {kind} from {low} to {LARGEST_SEED}{such}"


def _clean(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _member(kind: Any, value: Any) -> Any:
    """Returns the enum's member that a text names where a number may stand too: a union converts nothing."""
    choices = [one for one in get_args(kind) if isinstance(one, type) and issubclass(one, Enum)]
    members = {member.value: member for choice in choices for member in choice}
    return members.get(value, value) if isinstance(value, str) else value


def _parse_value(word: Word) -> Any:
    """Reads a value with Hydra's grammar: numbers, booleans, null, [lists] and quoted strings."""
    override = OverridesParser.create().parse_override(f"{word.key}={word.value}")
    if override.is_sweep_override():
        raise OverrideParseException(word.text, f"a list is written [{word.value}]")
    value = override.value()
    return None if value == "" and word.value == "" else value


_types_of = functools.cache(get_type_hints)


def _schema_keys(cls: Any, prefix: str) -> Iterator[str]:
    for item in dataclasses.fields(cls):
        kind = _types_of(cls)[item.name]
        if dataclasses.is_dataclass(kind):
            yield from _schema_keys(kind, f"{prefix}.{item.name}")
        else:
            yield f"{prefix}.{item.name}"


def _field_type(classes: dict[str, Any], key: str) -> Any:
    role, *path = key.split(".")
    kind = classes.get(role)
    for name in path:
        kind = _types_of(kind)[name]
    return kind


def _type_name(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(m.value for m in kind)
    enums = [one for one in get_args(kind) if isinstance(one, type) and issubclass(one, Enum)]
    if enums and int in get_args(kind):
        return "a whole number, " + ", ".join(member.value for member in enums[0]) + " or null"
    if enums:
        return _type_name(enums[0]) + " or null"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if kind in names:
        return names[kind]
    text = str(kind)
    for cls, name in (
        ("list[str]", "a list such as [a,b]"),
        ("list[float]", "a list such as [0.9,0.999]"),
        ("bool", "true or false"),
        ("int", "a whole number"),
        ("float", "a number"),
        ("str", "text"),
    ):
        if text.startswith(cls):
            return name + (" or null" if "None" in text else "")
    return text
