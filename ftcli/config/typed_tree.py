"""Typed schemas of all roles, filled one value at a time, so that all mistakes are shown at once."""

from __future__ import annotations

import functools
from enum import Enum
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ftcli.config.dotted import REFERENCE, holds_reference, texts_in
from ftcli.config.fields import LARGEST_SEED, wrong_text, wrong_value
from ftcli.config.foreign.answer import Typed
from ftcli.config.foreign.words import answer_key
from ftcli.config.overrides import Override, parse_value
from ftcli.config.own_keys import schema_keys, types_of
from ftcli.config.registry import lookup
from ftcli.config.regular_file import absolute
from ftcli.config.schema import ROLES, RunConfig
from ftcli.errors import ConfigError, Problem, did_you_mean, nearest

SEED_DEFAULTS: dict[str, Any] = {"seed": 42, "seeds": [], "num_seeds": 1}
MOST_SEEDS = 1000
"""Members of an ensemble."""
SEED_TYPES: dict[str, Any] = {"seed": int, "seeds": list[int], "num_seeds": int}
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


class TypedTree:
    """The configuration while it is filled: each value is checked against its schema as it is set.

    Attributes:
        choices: role -> choice.
        uses: role -> module that builds it.
        typed: all words of the command, for the hint on a key of another tool.
        values: the values set so far.
        origins: dotted key -> `default`, `recipe`, `shell` or `run`.
        problems: what is wrong with the values that were set.
        num_out_of_bounds: how many of the problems are values of the right type.
    """

    def __init__(self, choices: dict[str, str], uses: dict[str, str], typed: Typed) -> None:
        self.choices, self.uses, self.typed = dict(choices), dict(uses), typed
        self.problems: list[Problem] = []
        self.num_out_of_bounds = 0
        self.classes: dict[str, type] = {
            role: lookup(role, self.uses[role]).config_class for role in ROLES if role != "trainer"
        }
        self.classes["trainer"] = get_type_hints(RunConfig)["trainer"]
        schemas = {role: _schema_of(cls) for role, cls in self.classes.items()}
        self.values: DictConfig = OmegaConf.create(schemas)  # copies them
        self.values.update(SEED_DEFAULTS)
        self.known = {key for role, cls in self.classes.items() for key in schema_keys(cls, role)}
        self.known |= set(SEED_TYPES)
        self.origins: dict[str, str] = dict.fromkeys(self.known, "default")

    def set(self, key: str, value: Any, origin: str, where: str = "") -> None:
        """Sets one value; a problem is collected if there is no such key or the value does not fit.

        Args:
            key: dotted key.
            value: plain value, as YAML gives it.
            origin: where the value came from.
            where: file of the value, for the problem.
        """
        shown = f"{where}: {key}" if where else key
        if key not in self.known:
            self.problems.append(self._unknown_key(key, shown, as_text(value)))
            return
        if holds_reference(value):
            self.problems.append(Problem(shown, *REFERENCE))
        elif wrong := self._wrong(key, value):
            self.problems.append(Problem(shown, f"got {shortened(value)}", wrong))
        else:
            self.origins[key] = origin

    def _wrong(self, key: str, value: Any) -> str:
        """Sets a value; returns what was expected instead, the value before kept, or ''."""
        kind = self._type_of(key)
        if wrong := next((w for w in map(wrong_text, texts_in(value)) if w), ""):
            return wrong
        if key in PATHS and isinstance(value, str):
            value = absolute(value)
            if wrong_text(value):
                return (
                    "expected a current folder whose path is UTF-8 text of usual length: work in another one"
                )
        member = _enum_member(kind, value.value if isinstance(value, Enum) else value)
        before = OmegaConf.select(self.values, key)
        before = list(before) if OmegaConf.is_list(before) else before  # an update changes the list itself
        try:
            OmegaConf.update(self.values, key, member, merge=False)
        except (OmegaConfBaseException, ValueError, OverflowError):
            return _wrong_seed(key, value) if key in SEED_TYPES else self._expected(key)
        now = OmegaConf.select(self.values, key)
        wrong = _wrong_seed(key, now) if key in SEED_TYPES else self._out_of_bounds(key, now)
        if wrong:
            OmegaConf.update(self.values, key, before, merge=False)
            self.num_out_of_bounds += 1
        return wrong

    def _out_of_bounds(self, key: str, value: Any) -> str:
        role, _, path = key.partition(".")
        value = list(value) if OmegaConf.is_list(value) else value
        wrong = wrong_value(self.classes[role], path, value)
        return f"{wrong} or null" if wrong and type(None) in get_args(self._type_of(key)) else wrong

    def set_override(self, override: Override) -> None:
        """Sets the value of an override, read as its key's type asks; what does not fit becomes a problem."""
        key = override.key
        if key not in self.known:
            self.problems.append(self._unknown_key(key, key, override.value))
            return
        takes_text = self._type_of(key) in (str, str | None)
        try:
            value = parse_value(override)
        except ValueError:
            if not takes_text:
                self.problems.append(Problem(key, f"got {override.value!r}", self._expected(key)))
                return
            value = override.value
        if isinstance(value, dict):
            self.problems.append(Problem(key, "a mapping is not one value", f"type {key}.KEY=VALUE"))
            return
        # `data.subset=2020` is text although the grammar reads a number.
        self.set(key, override.value if takes_text and not isinstance(value, str | None) else value, "shell")

    def to_config(self, recipe: str) -> RunConfig:
        """Returns the typed configuration.

        Raises:
            ConfigError: both `seeds` and `num_seeds`.
        """
        self._list_seeds()
        roles: dict[str, Any] = {role: OmegaConf.to_object(self.values[role]) for role in ROLES}
        return RunConfig(
            recipe=recipe,
            seed=self.values.seed,
            seeds=list(self.values.seeds),
            choices=self.choices,
            uses=self.uses,
            **roles,
        )

    def _list_seeds(self) -> None:
        """Writes `num_seeds` out as `seeds`: config.yaml knows only the list."""
        first, seeds, number = self.values.seed, list(self.values.seeds), self.values.num_seeds
        if seeds and number > 1:
            raise ConfigError(
                Problem("num_seeds", "seeds are listed already", "keep one of seeds and num_seeds")
            )
        if number > 1:
            self.values.seeds = list(range(first, first + number))
        self.values.num_seeds = 1

    def _unknown_key(self, key: str, shown: str, value: str) -> Problem:
        role, last = key.split(".")[0], key.rpartition(".")[2]
        if role in ROLES and self.choices[role] != "none" and "." in key:
            siblings = {k for k in self.known if k.startswith(f"{role}.")}
        else:
            siblings = self.known | set(ROLES)
        elsewhere = [k for k in sorted(self.known) if k.endswith("." + last)]
        near = nearest(key, siblings, 1)
        if answer := answer_key(key, value, self.typed, self.known):
            hint = answer.hint(self.known, self.typed)
        elif elsewhere and not near:
            hint = "did you mean " + " or ".join(elsewhere[:3]) + "?"
        elif near or role in ROLES:
            hint = did_you_mean(key, siblings)
        elif nearest(key, self.known):
            hint = did_you_mean(key, [*self.known, *ROLES])
        else:
            hint = "ftcli config lists every key"
        chosen = f" ({role}={self.choices[role]} is chosen)" if role in ROLES else ""
        return Problem(shown, f"there is no such key{chosen}", hint)

    def _type_of(self, key: str) -> Any:
        """Returns the type of a key that is known: a class, a union or a generic."""
        if key in SEED_TYPES:
            return SEED_TYPES[key]
        role, *path = key.split(".")
        kind: Any = self.classes[role]
        for name in path:
            kind = types_of(kind)[name]
        return kind

    def _expected(self, key: str) -> str:
        return "expected " + type_in_words(self._type_of(key))


@functools.cache
def _schema_of(config_class: type) -> DictConfig:
    """Returns a class as OmegaConf's typed tree, which nobody may change: making it takes longer than copying it."""
    schema: DictConfig = OmegaConf.structured(config_class)
    return schema


def as_text(value: Any) -> str:
    """Returns a value as it is typed in the shell."""
    if isinstance(value, list):
        return "[" + ",".join(as_text(v) for v in value) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def shortened(value: Any, most: int = 200) -> str:
    """Returns a value as it is typed, quoted and cut where it is long."""
    text = as_text(value)
    return repr(text) if len(text) <= most else f"{text[:most]!r}... ({len(text)} characters)"


def type_in_words(kind: Any) -> str:
    """Returns a field's type in words, such as `a whole number or null`."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(m.value for m in kind)
    enums = _enums_of(kind)
    if enums and int in get_args(kind):
        return "a whole number, " + ", ".join(member.value for member in enums[0]) + " or null"
    if enums:
        return type_in_words(enums[0]) + " or null"
    text = kind.__name__ if isinstance(kind, type) else str(kind)
    for start, name in (
        ("list[str]", "a list such as [a,b]"),
        ("list[float]", "a list such as [0.9,0.999]"),
        ("bool", "true or false"),
        ("int", "a whole number"),
        ("float", "a number"),
        ("str", "text"),
    ):
        if text.startswith(start):
            return name + (" or null" if "None" in text else "")
    return text


def _wrong_seed(key: str, value: Any) -> str:
    """Returns what a seed, a list of seeds or their number should be, or ''."""
    if key == "seeds" and not (OmegaConf.is_list(value) or isinstance(value, list)):
        return f"expected a list of whole numbers from 0 to {LARGEST_SEED}, such as [1,2,3]"
    low, high = (1, MOST_SEEDS) if key == "num_seeds" else (0, LARGEST_SEED)
    values = list(value) if key == "seeds" else [value]
    if all(isinstance(v, int) and not isinstance(v, bool) and low <= v <= high for v in values):
        if len(values) > MOST_SEEDS:
            return f"expected at most {MOST_SEEDS} seeds"
        return "expected seeds that differ" if len(set(values)) < len(values) else ""
    kind, example = "a whole number", ""
    if key == "seeds":
        kind, example = "a list of whole numbers", ", such as [1,2,3]"
    return f"expected {kind} from {low} to {high}{example}"


def _enums_of(kind: Any) -> list[type[Enum]]:
    return [one for one in get_args(kind) if isinstance(one, type) and issubclass(one, Enum)]


def _enum_member(kind: Any, value: Any) -> Any:
    """Returns the enum's member that a text names where a number may stand too: OmegaConf converts nothing in unions."""
    members = {member.value: member for enum in _enums_of(kind) for member in enum}
    return members.get(value, value) if isinstance(value, str) else value
