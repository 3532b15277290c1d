"""The reference of every key, written from the configuration classes and the YAML of the choices.

`python -m ftcli.config.reference docs/reference.md` (`make reference`) writes the page. A key's text is the
string below its field, its default the class's, or what the choice's YAML sets.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import textwrap
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf

from ftcli.config.bundled import bundled
from ftcli.config.dotted import leaves
from ftcli.config.fields import OnResume, on_resume
from ftcli.config.registry import lookup
from ftcli.config.schema import ROLES, RunConfig

INTRODUCTION = """\
# Reference of every key

Every key that a recipe or an override can set, with its type, its default and its meaning. `ftcli config` prints
the keys of one configuration, each with its value and where the value comes from.

On the command line a key is set with `group.key=value`, a choice with `group=choice`. `null` is YAML's word for "not
set"; the texts call it None. A default is that of the configuration class; below each table stands what the choices set
otherwise, and a recipe may set yet another value.

The column `resume` says what `ftcli resume RUN key=value` does with a new value: `yes` takes it and records it in the run's
config.yaml, `--allow-change` asks for `--allow-change freezing`, and an empty cell refuses it: it would be another run.

This page is generated from the docstrings of the configuration classes: edit those, then run `make reference`.
"""

TOP_LEVEL = (
    ("recipe", "str", "quickstart", "A recipe by name (`./recipes` first, then the bundled ones) or a path to its YAML file."),
    ("seed", "int", "42", "Seed of everything drawn: the head, the order of rows, dropout. At least 0."),
    ("seeds", "list of int", "[]", "Seeds of several runs under one parent, whose mean is the ensemble. Empty: one run, of `seed`."),
    ("num_seeds", "int", "1", "Instead of `seeds`: this many, counted from `seed` on."),
)  # fmt: skip

LONG_HEADING = 6
"""More choices than this are listed below a heading, not in it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One row of a table."""

    name: str
    type: str
    default: str
    text: str
    on_resume: OnResume = OnResume.refused


RESUME = {OnResume.recorded: "yes", OnResume.allow_change: "`--allow-change`", OnResume.refused: ""}


def page() -> str:
    """Returns the page as Markdown."""
    hints = get_type_hints(RunConfig)
    parts = [INTRODUCTION, "## Top level\n", _table([Key(*row) for row in TOP_LEVEL])]
    for role in ROLES:
        parts += _group(role, hints[role])
    return "\n".join(parts)


def _group(role: str, base: type) -> Iterator[str]:
    """Yields the section of one group: its choices, the keys that all share, and each class's own keys."""
    chosen = {file.stem: file for file in sorted((bundled("conf") / role).glob("*.yaml"))}
    yield f"## {role}\n"
    yield "| choice | |\n|---|---|"
    yield from (f"| `{name}` | {_escaped(_first_comment(file))} |" for name, file in chosen.items())
    yield ""
    shared = list(_keys(base, role))
    if shared:
        yield f"Keys of every choice of `{role}`:\n"
        yield _table(shared)
    known = {key.name: key for key in shared}
    for config_class, names in _by_class(role, base, chosen).items():
        own = [key for key in _keys(config_class, role) if known.get(key.name) != key]
        if own:
            many = len(names) > LONG_HEADING
            yield f"### {_module(chosen[names[0]]) if many else ', '.join(names)} {{#{role}-{names[0]}}}\n"
            if many:
                yield "Keys of " + ", ".join(f"`{name}`" for name in names) + ":\n"
            yield _table(own)
        yield from _stated(role, config_class, {name: chosen[name] for name in names})


def _by_class(role: str, base: type, chosen: dict[str, Path]) -> dict[type, list[str]]:
    """Returns config class -> choices that share it."""
    found: dict[type, list[str]] = {}
    for name, file in chosen.items():
        config_class = base if role == "trainer" else lookup(role, _module(file)).config_class or base
        found.setdefault(config_class, []).append(name)
    return found


def _module(file: Path) -> str:
    """Returns the module that builds a choice: the one of its name, or the one that its YAML names."""
    return str(_yaml(file).get("uses", file.stem))


def _stated(role: str, config_class: type, files: dict[str, Path]) -> Iterator[str]:
    """Yields, for each choice, the values of its YAML that are not the class's defaults."""
    defaults = {key.name: key.default for key in _keys(config_class, role)}
    lines = []
    for name, file in files.items():
        values = leaves(_yaml(file), f"{role}.")
        differing = {k: _value(v) for k, v in values if k in defaults and _value(v) != defaults[k]}
        if differing:
            lines.append(f"`{name}` sets " + ", ".join(f"`{k}={v}`" for k, v in differing.items()) + ".")
    if lines:
        yield "  \n".join(lines) + "\n"


def _keys(config_class: type, prefix: str) -> Iterator[Key]:
    """Yields a row for each field; those of nested classes by their dotted names."""
    hints, texts = get_type_hints(config_class), _field_texts(config_class)
    for field in dataclasses.fields(config_class):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            yield from _keys(kind, f"{prefix}.{field.name}")  # type: ignore[arg-type]
            continue
        text, tag = texts.get(field.name, ""), on_resume(config_class, field.name)
        yield Key(f"{prefix}.{field.name}", _type(kind), _value(_default(field)), text, tag)


def _field_texts(config_class: type) -> dict[str, str]:
    """Returns field -> the string that stands below it; a subclass's wins over its base's."""
    texts: dict[str, str] = {}
    for one in reversed(config_class.__mro__):
        if not dataclasses.is_dataclass(one):
            continue
        [body] = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(body, ast.ClassDef)
        for statement, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                match below:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        texts[statement.target.id] = " ".join(text.split())
    return texts


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _type(kind: Any) -> str:
    """Returns a type in the reader's words; the values of an enum in place of its name."""
    if get_origin(kind) in (Union, types.UnionType):
        named = [_type(one) for one in get_args(kind) if one is not type(None)]
        return ", ".join([*named, *(["null"] if type(None) in get_args(kind) else [])])
    if get_origin(kind) is list:
        return f"list of {_type(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return "map"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    return str(kind.__name__)


def _value(value: Any) -> str:
    """Returns a value as one types it."""
    if value is dataclasses.MISSING:
        return "required"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _yaml(file: Path) -> dict[str, Any]:
    """Returns a choice's YAML file as plain values."""
    values: Any = OmegaConf.to_container(OmegaConf.load(file))
    return dict(values)


def _first_comment(file: Path) -> str:
    """Returns the comment that a file begins with, up to the first line that ends a sentence."""
    text = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = f"{text} {line.lstrip('# ').strip()}".strip()
        if text.endswith((".", ";", ":")):
            break
    return text.rstrip(";:")


def _table(keys: list[Key]) -> str:
    rows = [
        f"| `{k.name}` | {_escaped(k.type)} | `{_escaped(k.default)}` | {RESUME[k.on_resume]} | {_escaped(k.text)} |"
        for k in keys
    ]
    return "\n".join(["| key | type | default | resume | meaning |", "|---|---|---|---|---|", *rows, ""])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page().rstrip() + "\n", encoding="utf-8")
