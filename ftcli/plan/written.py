"""A schedule as written: YAML -> `PhaseSpec`s, every mistake with its line.

The grammar begins with finetuning-scheduler's (phase number -> params, max_transition_epoch, lr,
new_lr_scheduler, new_optimizer) and goes on with the keys of `PhaseSpec`. YAML is read as data, node by
node: duplicate keys are refused, numbers are those of YAML 1.2 (`1e-5` is one).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from ftcli.config.fields import ANY_NUMBER, LARGEST_INT
from ftcli.config.foreign.words import field_hint
from ftcli.config.yaml_text import compose_yaml
from ftcli.errors import ConfigError, PlanError, Problem
from ftcli.plan.duration import parse_duration
from ftcli.plan.lightning import translate
from ftcli.plan.patterns import raise_problems
from ftcli.plan.phase_spec import ChoiceSpec, Entry, PhaseSpec
from ftcli.plan.yaml_nodes import INT, scalar

MAX_GAPS = 5
"""Most missing phases that are listed."""
MAX_SHOWN = 200
"""Characters of a value that a problem shows."""


def parse_schedule(text: str, origin: str) -> tuple[PhaseSpec, ...]:
    """Reads a schedule.

    Args:
        text: YAML.
        origin: file name, for errors.

    Raises:
        PlanError: every unknown, duplicate or missing key and every value that is not what it should
            be, each with its line.
    """
    root = compose_yaml(text, origin, PlanError)
    reader = _Reader(origin)
    numbered = reader.numbered(root)
    specs = [reader.phase(index, *numbered[index]) for index in sorted(numbered)]
    raise_problems(reader.problems)
    return tuple(specs)


class _Reader:
    """Turns YAML nodes into fields and collects the problems."""

    def __init__(self, origin: str) -> None:
        self.origin, self.problems = origin, list[Problem]()

    def at(self, node: yaml.Node) -> str:
        """Returns `file:line` of a node."""
        return f"{self.origin}:{node.start_mark.line + 1}"

    def numbered(self, root: yaml.Node | None) -> dict[int, tuple[str, yaml.Node]]:
        """Returns number of the phase -> (`file:line`, its node).

        Raises:
            PlanError: no phases at all.
        """
        form = "0: {params: [head], max_transition_epoch: 1}"
        if not isinstance(root, yaml.MappingNode) or not root.value:
            raise PlanError(Problem(self.origin, "holds no phases", f"write {form}"))
        found: dict[int, tuple[str, yaml.Node]] = {}
        for key, node in root.value:
            where = self.at(key)
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not INT.fullmatch(name) or len(name) > 4 or int(name) < 0:
                message = f"{name[:80]!r} is not the number of a phase, 0 to 9999"
                self.problems.append(Problem(where, message, f"write {form}"))
            elif int(name) in found:
                message = f"phase {int(name)} is written twice, first at {found[int(name)][0]}"
                self.problems.append(Problem(where, message))
            else:
                found[int(name)] = (where, node)
        gaps = sorted(set(range(max(found, default=-1) + 1)) - found.keys())
        for gap in gaps[:MAX_GAPS]:
            hint = "number the phases 0, 1, 2, ..."
            self.problems.append(Problem(self.origin, f"phase {gap} is missing", hint))
        return found

    def phase(self, index: int, where: str, node: yaml.Node) -> PhaseSpec:
        """Reads one phase; `where` is `file:line` of its number."""
        if not isinstance(node, yaml.MappingNode):
            self.problems.append(
                Problem(where, f"phase {index} is not a mapping", "write params: [...] below it")
            )
            return PhaseSpec(index=index, where=where)
        values: dict[str, Any] = {}
        notes: list[str] = []
        seen: dict[str, str] = {}
        for key_node, value in node.value:
            key, line = str(key_node.value), self.at(key_node)
            if key in seen:
                self.problems.append(Problem(line, f"{key[:80]!r} is written twice, first at {seen[key]}"))
                continue
            seen[key] = line
            if key in ("new_optimizer", "new_lr_scheduler"):
                role = "optimizer" if key == "new_optimizer" else "scheduler"
                read = translate(role, self.plain(value), line)
                self.problems += read.problems
                notes += read.notes
                if read.choice:
                    values[role] = ChoiceSpec(read.choice, read.fields, line)
            elif key in _READERS:
                field_name, read_field = _READERS[key]
                found = read_field(self, value, f"{line}: {key}")
                if found is not None:
                    values[field_name] = found
            else:
                given = self.plain(value) if isinstance(value, yaml.ScalarNode) else ""
                hint = field_hint(key[:80], _KEYS, given)
                self.problems.append(Problem(line, f"there is no key {key[:80]!r} in a phase", hint))
        if "params" not in seen and "freeze" not in seen:
            self.problems.append(Problem(where, f"phase {index} has no params", "write params: [head]"))
        for one, other in (("optimizer", "new_optimizer"), ("scheduler", "new_lr_scheduler"),
                           ("max_transition_epoch", "max_epochs")):  # fmt: skip
            if one in seen and other in seen and values.get(one) is not None:
                later = max(seen[one], seen[other], key=lambda place: int(place.rpartition(":")[2]))
                self.problems.append(Problem(later, f"{one} and {other} are both written", "keep one"))
        return PhaseSpec(index=index, where=where, lines=seen, notes=tuple(notes), **values)

    def plain(self, node: yaml.Node) -> Any:
        """Returns lists, dicts and scalars; duplicate keys are problems."""
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key, value in node.value:
                if str(key.value) in found:
                    self.problems.append(Problem(self.at(key), f"{key.value!r} is written twice"))
                found[str(key.value)] = self.plain(value)
            return found
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item) for item in node.value]
        return scalar(node)

    def refuse(self, key: str, came: Any, expected: str) -> None:
        """Collects the problem of a value that is not what it should be."""
        shown = repr(came)
        shown = shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."
        self.problems.append(Problem(key, f"{shown} is not {expected}"))

    def entries(self, node: yaml.Node, key: str) -> tuple[Entry, ...] | None:
        if not isinstance(node, yaml.SequenceNode):
            self.refuse(key, self.plain(node), "a list of names, groups or patterns")
            return None
        found = []
        for item in node.value:
            if isinstance(item, yaml.ScalarNode) and item.value:
                found.append(Entry(item.value, self.at(item)))
            elif isinstance(item, yaml.SequenceNode):
                # `- layers[8:12]` is text, but `[layers[8:12]]` in flow style is a list in a list to YAML.
                hint = "quote it: 'layers[8:12]'"
                self.problems.append(Problem(self.at(item), "a list stands where a name should", hint))
            else:
                self.refuse(self.at(item), self.plain(item), "a name, a group or a pattern")
        if not found and key.endswith("params"):
            self.problems.append(Problem(key, "the list is empty", "write params: [head]"))
        return tuple(found)

    def choice(self, node: yaml.Node, key: str) -> ChoiceSpec | None:
        value = self.plain(node)
        where, _, role = key.rpartition(": ")
        if role == "optimizer" and isinstance(node, yaml.MappingNode):
            self.refuse_rates(node)
        if isinstance(value, str):
            return ChoiceSpec(value, {}, where)
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            return ChoiceSpec(value["name"], {k: v for k, v in value.items() if k != "name"}, where)
        self.refuse(key, value, "a name, or {name: ..., and its fields}")
        return None

    def refuse_rates(self, node: yaml.MappingNode) -> None:
        """Collects a problem for each learning rate below `optimizer`: rates are the phase's or the run's."""
        for key, _ in node.value:
            name = str(key.value)
            if name in ("lr", "scale_lr") or field_hint(name, ("lr",)) == "write lr":
                meant = "lr"
            elif name == "layerwise":
                meant = name
            else:
                continue
            message = f"{name!r} is not read below optimizer"
            self.problems.append(Problem(self.at(key), message, f"write {meant} in the phase"))

    def mapping(self, node: yaml.Node, key: str) -> dict[str, Any] | None:
        value = self.plain(node)
        if isinstance(value, dict):
            return value
        self.refuse(key, value, "a mapping such as {kind: geometric, decay: 0.9}")
        return None

    def length(self, node: yaml.Node, key: str) -> str | None:
        text = str(scalar(node)) if isinstance(node, yaml.ScalarNode) else ""
        try:
            parse_duration(text, key=key)
        except ConfigError as error:
            self.problems += as_yaml(error.problems)
            return None
        return text

    def word(self, node: yaml.Node, key: str) -> str | None:
        value = self.plain(node)
        if isinstance(value, str):
            return value
        self.refuse(key, value, "a word")
        return None


_ReadField = Callable[[_Reader, yaml.Node, str], Any]
"""(reader, node, `file:line: key`) -> the value; None after a problem, or where the value means: not set."""


def as_yaml(problems: Iterable[Problem]) -> list[Problem]:
    """Returns problems of `file:line: key` with hints that are lines of the file instead of overrides."""
    found = []
    for problem in problems:
        key = problem.key.rpartition(": ")[2]
        hint = problem.hint.replace(f"{problem.key}=", f"{key}: ")
        found.append(Problem(problem.key, problem.message, hint))
    return found


def _number(low: float, *, whole: bool = False, off: float | None = None, strict: bool = False) -> _ReadField:
    """Returns a reader of numbers.

    Args:
        low: smallest value allowed; with `strict` the value has to be above it.
        whole: only whole numbers.
        off: a value that means: not set.
        strict: see `low`.
    """

    def read(reader: _Reader, node: yaml.Node, key: str) -> float | int | None:
        value = reader.plain(node)
        kind = int if whole else (int, float)
        good = isinstance(value, kind) and not isinstance(value, bool) and not ANY_NUMBER.wrong(value)
        if good and value == off:
            return None
        if good and (value > low if strict else value >= low):
            return value if whole else float(value)
        what = "a whole number" if whole else "a number"
        most = f" and at most {LARGEST_INT}" if good or isinstance(value, int | float) and value > low else ""
        reader.refuse(key, value, f"{what} {'above' if strict else 'of at least'} {low:g}{most}")
        return None

    return read


def _one_of(*names: str) -> _ReadField:
    def read(reader: _Reader, node: yaml.Node, key: str) -> str | None:
        value = reader.plain(node)
        if value in names:
            return str(value)
        reader.refuse(key, value, " or ".join(names))
        return None

    return read


def _switch(reader: _Reader, node: yaml.Node, key: str) -> bool | None:
    value = reader.plain(node)
    if isinstance(value, bool):
        return value
    reader.refuse(key, value, "true or false")
    return None


_READERS: dict[str, tuple[str, _ReadField]] = {
    "params": ("params", _Reader.entries),
    "except": ("except_", _Reader.entries),
    "freeze": ("freeze", _Reader.entries),
    "lr": ("lr", _number(0, strict=True)),
    "weight_decay": ("weight_decay", _number(0)),
    "max_transition_epoch": ("max_transition_epoch", _number(1, whole=True, off=-1)),
    "max_epochs": ("max_epochs", _number(0, strict=True)),
    "max_steps": ("max_steps", _number(1, whole=True)),
    "monitor": ("monitor", _Reader.word),
    "mode": ("mode", _one_of("auto", "min", "max")),
    "patience": ("patience", _number(1, whole=True)),
    "min_delta": ("min_delta", _number(0)),
    "plateau_slope": ("plateau_slope", _number(0)),
    "plateau_window": ("plateau_window", _number(2, whole=True)),
    "warmup": ("warmup", _Reader.length),
    "scheduler": ("scheduler", _Reader.choice),
    "optimizer": ("optimizer", _Reader.choice),
    "layerwise": ("layerwise", _Reader.mapping),
    "older_groups": ("older_groups", _one_of("keep", "follow")),
    "restore_best": ("restore_best", _switch),
    "best": ("best", _one_of("carry", "reset")),
    "moments": ("moments", _one_of("keep", "reset")),
}
"""Key of a phase -> (field of `PhaseSpec`, what reads it)."""
_KEYS = (*_READERS, "new_optimizer", "new_lr_scheduler")
assert {name for name, _ in _READERS.values()} <= {f.name for f in dataclasses.fields(PhaseSpec)}
