"""config.yaml: the resolved configuration with each value's origin beside it, written and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from ftcli.config.compose import Composed, restore
from ftcli.config.dotted import leaves
from ftcli.config.fields import OnResume, on_resume
from ftcli.config.regular_file import exists, is_file
from ftcli.config.schema import ROLES, RunConfig
from ftcli.config.yaml_text import parse_yaml, refuse_references
from ftcli.errors import ConfigError
from ftcli.storage.run_files import read_shaped, read_text, unreadable

ORIGINS = ("default", "recipe", "shell", "run")


def render_config(composed: Composed) -> str:
    """Returns YAML in which every value has its origin behind it: `# default`, `# recipe`, `# shell` or `# run`."""
    config = composed.config
    values: Any = OmegaConf.to_container(composed.values, resolve=False, enum_to_str=True)
    lines = [f"recipe: {_scalar(config.recipe)}", f"seed: {config.seed}  # {composed.origins['seed']}"]
    if config.seeds:
        lines.append(f"seeds: {_scalar(config.seeds)}  # {composed.origins['seeds']}")
    for name in ("choices", "uses"):
        lines.append(f"{name}:")
        for role in ROLES:
            origin = f"  # {composed.origins[role]}" if name == "choices" and role in composed.origins else ""
            lines.append(f"  {role}: {_scalar(getattr(config, name)[role])}{origin}")
    for role in ROLES:
        lines += _section(role, values[role], composed.origins, role, 0)
    return "\n".join(lines) + "\n"


def read_config(path: Path) -> dict[str, Any]:
    """Reads a run's config.yaml back as plain values: a run directory may come from somebody else.

    Raises:
        RunDirError: it is missing or damaged, or a role is, or a value refers to another one.
    """
    values = read_values(path, any_keys=False)
    try:
        refuse_references(values, path.name)
    except ConfigError as error:
        raise unreadable(path, error.problems[0].message) from error
    for role in ROLES:
        if not isinstance(values.get(role, {}), dict):
            raise unreadable(path, f"{role} is not a section")
        if missing := [name for name in ("choices", "uses") if role not in values[name]]:
            raise unreadable(path, f"{missing[0]}.{role} is missing")
        if role not in values:
            raise unreadable(path, f"{role} is missing")
    return values


def read_values(path: Path, *, any_keys: bool = True) -> dict[str, Any]:
    """Reads config.yaml for those who take what they find; what is sure is an object with an object `choices`.

    Raises:
        RunDirError: it is missing or damaged.
    """
    values = read_shaped(path, lambda text: parse_yaml(text, path.name), any_keys=any_keys)
    if not isinstance(values.get("choices"), dict):
        raise unreadable(path, "choices is not a section")
    return values


def read_origins(path: Path) -> dict[str, str]:
    """Reads the origins, which are trailing comments in config.yaml: dotted key -> origin."""
    origins: dict[str, str] = {}
    trail: list[str] = []
    for line in read_text(path).splitlines():
        key, _, rest = line.strip().partition(":")
        trail = [*trail[: (len(line) - len(line.lstrip())) // 2], key]
        _, sign, origin = rest.rpartition("  # ")
        if origin not in ORIGINS:
            continue
        if sign and trail[0] == "choices":
            origins[key] = origin
        elif sign and trail[0] != "uses":
            origins[".".join(trail)] = origin
    return origins


def restored(path: Path, overrides: list[str]) -> Composed:
    """Returns the configuration of the run whose config.yaml this is, with overrides applied on top.

    A schedule file that is gone since is replaced by the copy in the run directory.

    Raises:
        ConfigError: holds every problem found with the overrides.
        RunDirError: the file is missing or damaged, or holds a value that no run has.
    """
    saved, origins = read_config(path), read_origins(path)
    try:
        composed = restore(saved, overrides, origins)
    except ConfigError as error:
        if overrides:
            restored(path, [])  # where the file is at fault, the words are not
        else:
            wrong = "; ".join(f"{p.key}: {p.message}" for p in error.problems[:5])
            raise unreadable(path, wrong) from error
        raise
    file, kept = getattr(composed.config.freezing, "file", None), path.parent / "schedule.yaml"
    if file is not None and not exists(file) and is_file(kept):
        composed.notes.append(f"freezing.file={file} is gone: {kept} is used")
        freezing: Any = composed.config.freezing  # only some strategies have a file
        freezing.file = composed.values.freezing.file = str(kept.absolute())
    return composed


def tag_of(config: RunConfig, key: str) -> OnResume:
    """Returns what a continued run does with a change of a key, by the tag on its field.

    Args:
        config: the run's.
        key: dotted key, or the name of a role or of a key of no role: those are refused.
    """
    role, _, path = key.partition(".")
    return on_resume(type(getattr(config, role)), path) if path else OnResume.refused


def differences(old: Composed, new: Composed) -> dict[str, Any]:
    """Returns dotted key -> new value, for every key whose values differ; None: the new one lacks the key."""
    before, after = _flat(old), _flat(new)
    return {
        key: after.get(key)
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    }


def _flat(composed: Composed) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(composed.values, resolve=False, enum_to_str=True)
    return dict(leaves(values))


def _section(name: str, value: Any, origins: dict[str, str], key: str, depth: int) -> list[str]:
    indent = "  " * depth
    if not isinstance(value, dict):
        return [f"{indent}{name}: {_scalar(value)}  # {origins.get(key, 'default')}"]
    if not value:
        return [f"{indent}{name}: {{}}"]
    lines = [f"{indent}{name}:"]
    for child, inner in value.items():
        lines += _section(child, inner, origins, f"{key}.{child}", depth + 1)
    return lines


def _scalar(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**31)
    if not text.replace("\n", "").isprintable():
        # Characters that change the direction of writing, and the like, would reach the terminal: they are escaped.
        text = yaml.safe_dump(value, default_flow_style=True, width=2**31)
    return text.removesuffix("\n...\n").strip()
