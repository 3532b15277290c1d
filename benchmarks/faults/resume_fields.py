"""Every field of the configuration changed on a resume: accepted and recorded, or refused by name with nothing changed.

    python -m benchmarks.faults.resume_fields [--count 1000] [--no-record]

Each key of the reference gets another value of its type, one a command, on a finished run. What must hold: exit code 0 with the value in
config.yaml, or 2 with the key in the panel and config.yaml as it was. What a field's tag says (`ftcli/config/fields.py`) is compared with that.
"""

from __future__ import annotations

import enum
import shutil
import sys
import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import figure, forks, tiny_run

TITLE = "every field of the configuration changed on resume: accepted and recorded, or refused by name with nothing changed, as its tag says"


def keys(kind: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Returns dotted key -> (type, default or a marker) of every leaf of a configuration class."""
    found: dict[str, tuple[Any, Any]] = {}
    hints = typing.get_type_hints(kind)
    for one in fields(kind):
        own = hints[one.name]
        inner = next((part for part in (own, *typing.get_args(own)) if is_dataclass(part)), None)
        if inner is not None and typing.get_origin(own) in (None, typing.Union, types.UnionType):
            found |= keys(inner, f"{prefix}{one.name}.")
        else:
            found[f"{prefix}{one.name}"] = (own, None)
    return found


def other(kind: Any, now: Any) -> str:
    """Returns a value of the type that differs from the one in use, as it is typed."""
    parts = (
        [part for part in typing.get_args(kind) if part is not type(None)]
        if typing.get_origin(kind) in (typing.Union, types.UnionType)
        else [kind]
    )
    first = parts[0]
    if isinstance(first, type) and issubclass(first, enum.Enum):
        return next(one.value for one in first if one.value != getattr(now, "value", now))
    if first is bool:
        return "false" if now else "true"
    if first is int:
        return str((now if isinstance(now, int) else 0) + 1)
    if first is float:
        return str(0.25 if now != 0.25 else 0.5)
    if typing.get_origin(first) in (list, tuple, frozenset):
        return "[x]"
    if typing.get_origin(first) is dict:
        return "{x: y}"
    return "something"


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Changes up to `count` keys, one a resume."""
    from ftcli.config.saved import restored

    words = tiny_run.words(folder)
    forks.warm_up()
    run, log, cache = folder / "run", folder / "log.txt", folder / "cache"
    if forks.wait(forks.start(["train", *words, "--run-dir", str(run)], log, cache)):
        sys.exit(log.read_text())
    config = restored(run / "config.yaml", []).config
    tried = list(all_keys(config).items())[:count]
    tally, accepted, places = figure.Tally(), 0, {}
    for key, (kind, now) in tried:
        value = other(kind, now)
        copy = folder / "copies" / key
        shutil.copytree(run, copy, symlinks=True)
        before = (copy / "config.yaml").read_bytes()
        said = folder / "said" / f"{key}.txt"
        said.parent.mkdir(exist_ok=True)
        code = forks.wait(forks.start(["resume", str(copy), f"{key}={value}"], said, cache), seconds=120)
        places[key] = code
        accepted += code == 0
        failure = judge(
            config, key, value, code, forks.text_of(said), before, (copy / "config.yaml").read_bytes()
        )
        tally.count(f"{key}={value}: {failure}" if failure else None)
        shutil.rmtree(copy)
    tally.measured = f"{accepted} accepted and recorded, {tally.tried - accepted} refused"
    return tally


def all_keys(config: Any) -> dict[str, tuple[Any, Any]]:
    """Returns dotted key -> (type, value in use) of a run's configuration, roles with the classes they have."""
    found: dict[str, tuple[Any, Any]] = {}
    hints = typing.get_type_hints(type(config))
    for one in fields(config):
        if one.name in ("choices", "uses", "recipe"):
            continue
        value = getattr(config, one.name)
        if not is_dataclass(value):
            found[one.name] = (hints[one.name], value)
            continue
        for name, (kind, _) in keys(type(value)).items():
            now: Any = value
            for part in name.split("."):
                now = getattr(now, part, None)
            found[f"{one.name}.{name}"] = (kind, now)
    return found


def judge(config: Any, key: str, value: str, code: int, said: str, before: bytes, after: bytes) -> str | None:
    """Returns what did not hold of one change, or None."""
    from ftcli.config import saved

    if forks.TRACEBACK in said:
        return f"traceback: {said[-400:]}"
    if code == 0:
        if before == after:
            return "accepted, and config.yaml is as it was"
        tag = getattr(saved, "tag_of", lambda *_: None)(config, key)
        return f"accepted, but its tag is {tag}" if tag is not None and tag.name == "refused" else None
    if code not in (1, 2):
        return f"exit code {code}: {said[-300:]}"
    if key.rpartition(".")[2] not in said:
        return f"the key is not named: {said[-300:]}"
    return None if before == after else "refused, and config.yaml was changed"


if __name__ == "__main__":
    sys.exit(figure.main("resume_fields", TITLE, 1000, trial))
