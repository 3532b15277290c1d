"""Which tensors a pattern means: full-match regexes over tensor names, with a helpful refusal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ftcli.errors import PlanError, Problem, nearest
from ftcli.plan.anatomy import Anatomy, TensorInfo, Unit
from ftcli.plan.safe_regex import SafePattern


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of the table that shows which tensors each pattern or named group chose."""

    pattern: str
    action: str
    """`train`, `freeze` or `no decay`."""
    names: tuple[str, ...]
    numel: int
    """Parameters in `names`."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a freezing strategy lets train, how it came to that, and the same in one line."""

    trainable: frozenset[str]
    hits: tuple[Hit, ...]
    summary: str


def hit_of(anatomy: Anatomy, pattern: str, action: str, names: Iterable[str]) -> Hit:
    """Returns the row for `names`, put in the model's order."""
    wanted = set(names)
    ordered = tuple(name for name in anatomy.names if name in wanted)
    return Hit(pattern, action, ordered, anatomy.numel(wanted))


def unit_hit(unit: Unit, action: str) -> Hit:
    """Returns the row for a whole unit."""
    return Hit(unit.name, action, unit.tensors, unit.numel)


def match_patterns(
    anatomy: Anatomy, patterns: Sequence[str], *, key: str, action: str
) -> tuple[list[Hit], list[Problem]]:
    """Matches each pattern against the whole name of every tensor.

    A tensor is also known by its tied names, and under LoRA by its name without `.base_layer`.

    Args:
        anatomy: the model.
        patterns: Python regexes; each has to match something.
        key: dotted key that holds the patterns, such as `freezing.train`.
        action: what is done to the tensors, for the table.

    Raises:
        PlanError: a pattern takes too long; it is the only problem then.

    Returns:
        One hit a valid pattern, and the problems of the others, for the caller to raise together.
    """
    hits, problems = [], []
    for pattern in patterns:
        try:
            regex = SafePattern(pattern, key)
        except PlanError as error:
            problems += error.problems
            continue
        names = [t.name for t in anatomy.tensors if any(regex.fullmatch(n) for n in known_names(t))]
        if names:
            hits.append(hit_of(anatomy, pattern, action, names))
        else:
            problems.append(_no_hit(anatomy, pattern, regex, key))
    return hits, problems


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raises all problems in one `PlanError`, if there are any."""
    if problems:
        raise PlanError(*problems)


def known_names(tensor: TensorInfo) -> list[str]:
    """Returns every name a pattern may call the tensor by, the canonical one first."""
    names = [tensor.name, *tensor.aliases]
    return names + [n.replace(".base_layer.", ".") for n in names if ".base_layer." in n]


def _no_hit(anatomy: Anatomy, pattern: str, regex: SafePattern, key: str) -> Problem:
    message = f"{pattern!r} matches no tensor of the model; a pattern has to match the whole name"
    all_names = [n for t in anatomy.tensors for n in known_names(t)]
    wider = _full_match_form(pattern, regex, all_names)
    if wider:
        form, count = wider
        return Problem(key, message, f"write {form} ({count} {'tensor' if count == 1 else 'tensors'})")
    modules = {".".join(n.split(".")[:i]) for n in all_names for i in range(1, n.count(".") + 1)}
    plain = re.sub(r"\\(.)", r"\1", pattern).replace(".*", "").strip("^$.")
    near = nearest(plain, all_names) or nearest(plain, _last_parts(modules | set(all_names)))
    if near:
        return Problem(key, message, "nearest: " + ", ".join(near))
    return Problem(key, message, "names look like " + ", ".join(anatomy.names[:2] + anatomy.names[-1:]))


def _full_match_form(pattern: str, regex: SafePattern, names: Sequence[str]) -> tuple[str, int] | None:
    """Returns the pattern as the user meant it, and its number of hits, when it occurs inside names."""
    inside = [n for n in names if regex.search(n)]
    if not inside:
        return None
    core = pattern.removeprefix("^").removesuffix("$")
    core = f"({core})" if "|" in core else core
    forms = [f"{core}.*"] if all(regex.match(n) for n in inside) else []
    for form in [*forms, f".*{core}", f".*{core}.*"]:
        try:
            wider = SafePattern(form, regex.key)
        except PlanError:
            continue
        count = sum(wider.fullmatch(n) for n in inside)
        if count == len(inside):
            return form, count
    return None


def _last_parts(names: Iterable[str]) -> set[str]:
    """Returns dotted tails of one to three parts, such as `query.weight` or `attention.self`."""
    parts = [n.split(".") for n in names]
    return {".".join(p[-i:]) for p in parts for i in (1, 2, 3) if len(p) >= i}
