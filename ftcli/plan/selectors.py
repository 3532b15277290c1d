"""Which tensors an entry of a schedule means: a named group, an exact name or a full-match regex.

Named groups: `head`, `final` (pooler, last norms), `embeddings`, `layers`, `layers[3]`, `layers[8:12]`,
`layers[-2:]` (Python's slices over the blocks, bottom to top), `adapters` (what a PEFT method trains),
`adapters[-2:]` (those in blocks), `norms`, `biases`, `all`, and `rest`, all that no phase has named so far.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ftcli.errors import Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Hit, hit_of, known_names, match_patterns
from ftcli.plan.safe_regex import MAX_LENGTH

_LAYERS = re.compile(r"(layers|adapters)(?:\[\s*(-?\d+)?\s*(:)?\s*(-?\d+)?\s*\])?")
_MODULE_ATTRIBUTE = re.compile(r"model\\?\.")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an entry selected; `notes` say what was read differently than written."""

    names: frozenset[str]
    hits: tuple[Hit, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def select(
    anatomy: Anatomy, entry: str, *, key: str, action: str, taken: frozenset[str] = frozenset()
) -> Chosen:
    """Returns the tensors an entry means.

    Args:
        anatomy: the model.
        entry: a named group, the name of a tensor, or a regex that matches whole names.
        key: where the entry stands, for problems.
        action: what is done to the tensors, for the table.
        taken: names that `rest` leaves out.
    """
    if len(entry) > MAX_LENGTH:
        message = f"{entry[:120]!r}... has {len(entry)} characters; at most {MAX_LENGTH} are read"
        return Chosen(frozenset(), problems=(Problem(key, message),))
    group = _group(anatomy, entry, key, taken)
    if isinstance(group, Problem):
        return Chosen(frozenset(), problems=(group,))
    if group is not None:
        return Chosen(group, (hit_of(anatomy, entry, action, group),))
    exact = frozenset(t.name for t in anatomy.tensors if entry in known_names(t))
    if exact:
        return Chosen(exact, (hit_of(anatomy, entry, action, exact),))
    hits, problems = match_patterns(anatomy, [entry], key=key, action=action)
    stripped = _MODULE_ATTRIBUTE.match(entry)
    if problems and stripped:
        inner = entry[stripped.end() :]
        again = select(anatomy, inner, key=key, action=action, taken=taken)
        if not again.problems:
            note = f"{entry} is read as {inner}: `model.` is the module's attribute in Lightning files"
            return Chosen(again.names, again.hits, notes=(note,))
    names = frozenset(name for hit in hits for name in hit.names)
    return Chosen(names, tuple(hits), tuple(problems))


def _group(anatomy: Anatomy, entry: str, key: str, taken: frozenset[str]) -> frozenset[str] | Problem | None:
    """Returns the tensors of a named group, a problem with its slice, or None for anything else."""
    units = {"head": anatomy.head, "final": anatomy.final, "embeddings": anatomy.embeddings}
    if entry in units:
        names = frozenset(units[entry].tensors)
        return names or Problem(key, f"this {anatomy.model_type} model has nothing in {entry!r}")
    if entry in ("norms", "biases"):
        names = frozenset(t.name for t in anatomy.tensors if (t.is_norm if entry == "norms" else t.is_bias))
        return names or Problem(key, f"this {anatomy.model_type} model has no {entry}")
    if entry == "all":
        return frozenset(anatomy.names)
    if entry == "rest":
        return frozenset(anatomy.names) - taken or Problem(
            key, "'rest' is empty: every tensor is named already"
        )
    if not entry.startswith("adapters"):
        return blocks_of(anatomy, entry, key)
    if not anatomy.adapters:
        return Problem(key, "this model has no adapters", "choose a method with peft=, such as peft=lora")
    found = anatomy.adapters if entry == "adapters" else blocks_of(anatomy, entry, key)
    if not isinstance(found, frozenset):
        return found
    return found & anatomy.adapters or Problem(key, f"there are no adapters in {entry}")


def blocks_of(anatomy: Anatomy, entry: str, key: str) -> frozenset[str] | Problem | None:
    """Returns the tensors of the blocks that `layers[...]` names, a problem, or None for anything else."""
    match = _LAYERS.fullmatch(entry)
    return _layers(anatomy, entry, match, key) if match else None


def _layers(anatomy: Anatomy, entry: str, match: re.Match[str], key: str) -> frozenset[str] | Problem:
    _, first, colon, last = match.groups()
    start, stop = (None if part is None else int(part) for part in (first, last))
    depth = len(anatomy.blocks)
    single = "[" in entry and colon is None
    if single and (start is None or stop is not None):
        return Problem(key, f"{entry!r} is no slice", "write layers[3], layers[8:12] or layers[-2:]")
    if single:
        assert start is not None
        blocks = anatomy.blocks[start:][:1] if -depth <= start < depth else ()
    else:
        blocks = anatomy.blocks[start:stop]
    reach = max((abs(n) for n in (start, stop) if n is not None), default=0)
    if not blocks or reach > depth:
        return Problem(
            key, f"{entry} does not fit: this {anatomy.model_type} model has {depth} layers, 0 to {depth - 1}"
        )
    return frozenset(name for block in blocks for name in block.tensors)
