"""The default unfreezing schedule: one phase a block, from the head down, as YAML to edit.

Gradual unfreezing with a smaller learning rate for lower layers is ULMFiT's recipe (Howard and
Ruder, 2018, arXiv:1801.06146, sections 3.2 and 3.3). Departure: ULMFiT divides by 2.6 a layer, for a
model of four; twelve blocks would leave the embeddings 2.5e-6 of the lr. The factor here is ELECTRA's
layer-wise decay for its small and base models, 0.8 (Clark et al., 2020, arXiv:2003.10555, appendix B).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from ftcli.errors import PlanError, Problem
from ftcli.plan.anatomy import Anatomy, Unit

LR_DECAY = 0.8
"""Factor on the lr from a block to the one below, whatever is merged: a phase has the lr of its uppermost block."""
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)+")


@dataclass(frozen=True, slots=True)
class ScheduledPhase:
    """The tensors that start to train in one phase; those of earlier phases go on."""

    units: tuple[str, ...]
    params: tuple[str, ...]
    num_parameters: int
    max_transition_epoch: int | None
    """The phase ends after this epoch of the run, counted from 1. None: written without one."""
    lr: float


@dataclass(frozen=True, slots=True)
class _Part:
    """What one phase unfreezes before phases are merged."""

    units: tuple[str, ...]
    params: tuple[str, ...]
    level: int
    """Blocks down from the head, which is 0."""


def default_schedule(
    anatomy: Anatomy,
    lr: float,
    *,
    by: str = "block",
    phases: int | None = None,
) -> tuple[ScheduledPhase, ...]:
    """Returns phases from the head down; every tensor is in one of them, under its first name when tied.

    `block`: one phase for the head, one a block from the top, one for the embeddings; what comes after
    the blocks (pooler, final norms) joins the top block. `depth`: blocks at the same distance from the
    end of their stack form one phase, which matters for encoder-decoder models. `pair`: tensors two by
    two from the last one registered, as finetuning-scheduler generates; modules are split, and a head of
    an odd number of tensors shares a pair with what is below it.

    Args:
        anatomy: the model.
        lr: learning rate of the head.
        by: `block`, `depth` or `pair`.
        phases: merge neighbours evenly into this many, the head alone in the first, unless 1; None: no merging.

    Raises:
        PlanError: fewer than 1 phase, or more than there are.
    """
    parts = _PARTITIONS[by](anatomy)
    groups = _merged(parts, phases)
    sizes = {t.name: t.numel for t in anatomy.tensors}
    found = []
    for number, group in enumerate(groups, start=1):
        params = tuple(name for part in group for name in part.params)
        level = min(part.level for part in group)
        own = lr * LR_DECAY**level
        found.append(
            ScheduledPhase(
                units=tuple(dict.fromkeys(unit for part in group for unit in part.units)),
                params=params,
                num_parameters=sum(sizes[name] for name in params),
                max_transition_epoch=number if number < len(groups) else None,
                # Six digits are what a reader edits; the head's own lr passes unchanged.
                lr=float(f"{own:.6g}") if level else lr,
            )
        )
    return tuple(found)


def write_schedule(
    anatomy: Anatomy,
    lr: float,
    *,
    by: str = "block",
    phases: int | None = None,
) -> str:
    """Returns `default_schedule` as YAML that reads back as `{index: {params, max_transition_epoch, lr}}`.

    Args and errors are those of `default_schedule`.
    """
    found = default_schedule(anatomy, lr, by=by, phases=phases)
    lines = [
        f"# Unfreezing schedule for {_comment(anatomy.model_type or 'this model')}: {len(found)} phases, "
        f"{anatomy.num_parameters:,} parameters.",
        "# A phase adds its params to those of the phases before it and ends after the epoch",
        "# max_transition_epoch of the run; the last one by early stopping, or with the run.",
        f"# lr: {_number(lr)} for the head, times {LR_DECAY:g} a block (layer-wise decay as in ELECTRA).",
    ]
    if phases is not None:
        lines.append("# A phase of several blocks has the lr of its uppermost one.")
    for names in anatomy.tied:
        lines.append(f"# Tied, listed once: {_comment(' = '.join(names))}")
    for index, phase in enumerate(found):
        units = (
            " and ".join(phase.units)
            if len(phase.units) < 5
            else f"{phase.units[0]} down to {phase.units[-1]}"
        )
        lines += ["", f"# {_comment(units)}: {phase.num_parameters:,} parameters", f"{index}:"]
        lines += ["  params:", *(f"    - {_scalar(name)}" for name in phase.params)]
        if phase.max_transition_epoch is not None:
            lines.append(f"  max_transition_epoch: {phase.max_transition_epoch}")
        lines.append(f"  lr: {_number(phase.lr)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    """Returns text that ends no comment: names come from a config.json, and YAML knows five line breaks."""
    return text.encode("unicode_escape").decode("ascii")


def _by_block(anatomy: Anatomy) -> list[_Part]:
    top, *lower = reversed(anatomy.blocks) if anatomy.blocks else (None,)
    below_head = (anatomy.final,) if top is None else (top, anatomy.final)
    return _parts([(anatomy.head,), below_head, *((block,) for block in lower), (anatomy.embeddings,)])


def _by_depth(anatomy: Anatomy) -> list[_Part]:
    stacks: dict[str, list[Unit]] = {}
    for block in anatomy.blocks:
        stacks.setdefault(block.name.rpartition(".")[0], []).append(block)
    deepest = max((len(stack) for stack in stacks.values()), default=0)
    # Stacks are listed in the order data runs through them: the last one is nearest to the head.
    rows = [
        tuple(stack[-i] for stack in reversed(stacks.values()) if i <= len(stack))
        for i in range(1, deepest + 1)
    ]
    top, *lower = rows or [()]
    return _parts([(anatomy.head,), (*top, anatomy.final), *lower, (anatomy.embeddings,)])


def _by_pair(anatomy: Anatomy) -> list[_Part]:
    levels = {unit: part.level for part in _by_block(anatomy) for unit in part.units}
    tensors = list(reversed(anatomy.tensors))
    pairs = [tensors[i : i + 2] for i in range(0, len(tensors), 2)]
    return [
        _Part(tuple(t.unit for t in pair), tuple(t.name for t in pair), min(levels[t.unit] for t in pair))
        for pair in pairs
    ]


def _parts(stages: list[tuple[Unit, ...]]) -> list[_Part]:
    present = [tuple(unit for unit in stage if unit.tensors) for stage in stages]
    return [
        _Part(
            tuple(unit.name for unit in stage), tuple(name for unit in stage for name in unit.tensors), level
        )
        for level, stage in enumerate(stage for stage in present if stage)
    ]


_PARTITIONS: dict[str, Callable[[Anatomy], list[_Part]]] = {
    "block": _by_block,
    "depth": _by_depth,
    "pair": _by_pair,
}


def _merged(parts: list[_Part], phases: int | None) -> list[list[_Part]]:
    if phases is None:
        return [[part] for part in parts]
    if not 1 <= phases <= len(parts):
        message = f"{phases} phases cannot be made of the {len(parts)} there are"
        raise PlanError(Problem("--phases", message, f"a number from 1 to {len(parts)}"))
    if phases == 1:
        return [parts]
    # A head of several pairs stays whole where enough is left for the other phases.
    in_head = len(list(takewhile(lambda part: part.level == 0, parts)))
    first = min(in_head, len(parts) - phases + 1)
    rest = parts[first:]
    cuts = [round(i * len(rest) / (phases - 1)) for i in range(phases)]
    return [parts[:first], *(rest[i:j] for i, j in zip(cuts, cuts[1:], strict=False))]


def _number(value: float) -> str:
    """Writes a float with a point and a signed exponent, which YAML 1.1 needs to see a number."""
    for digits in range(1, 17):
        text = f"{value:.{digits}e}"
        if float(text) == value:
            return text
    return f"{value:.17e}"


def _scalar(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)
