"""The default unfreezing schedule: one phase a block, from the head down, as YAML to edit.

Gradual unfreezing with a smaller learning rate for lower layers is ULMFiT's recipe (Howard and
Ruder, 2018, arXiv:1801.06146, sections 3.2 and 3.3). Departure: ULMFiT divides by 2.6 a layer, for a
model of four; twelve blocks would leave the embeddings 2.5e-6 of the lr. The factor here is ELECTRA's
layer-wise decay for its small and base models, 0.8 (Clark et al., 2020, arXiv:2003.10555, appendix B).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ftcli.plan.anatomy import Anatomy, Unit

LR_DECAY = 0.8
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)+")


@dataclass(frozen=True, slots=True)
class ScheduledPhase:
    """The tensors that start to train in one phase; those of earlier phases go on."""

    units: tuple[str, ...]
    params: tuple[str, ...]
    num_parameters: int
    max_transition_epoch: int | None
    """The phase ends after this epoch of the run, counted from 1. None: at the end of the run."""
    lr: float


def default_schedule(
    anatomy: Anatomy, lr: float, *, lr_decay: float = LR_DECAY
) -> tuple[ScheduledPhase, ...]:
    """Returns one phase for the head, one a block from the top down, one for the embeddings.

    What comes after the blocks (pooler, final norms) joins the top block. Every tensor stands in
    exactly one phase, under its first name when it is tied.

    Args:
        anatomy: the model.
        lr: learning rate of the head's phase.
        lr_decay: factor on the lr from one phase to the next.
    """
    top, *lower = reversed(anatomy.blocks) if anatomy.blocks else (None,)
    below_head = (anatomy.final,) if top is None else (top, anatomy.final)
    stages = [(anatomy.head,), below_head, *((block,) for block in lower), (anatomy.embeddings,)]
    stages = [stage for stage in stages if any(unit.tensors for unit in stage)]
    return tuple(
        _phase(stage, epoch if epoch < len(stages) else None, lr * lr_decay ** (epoch - 1))
        for epoch, stage in enumerate(stages, start=1)
    )


def write_schedule(anatomy: Anatomy, lr: float, *, lr_decay: float = LR_DECAY) -> str:
    """Returns `default_schedule` as YAML that reads back as `{index: {params, max_transition_epoch, lr}}`."""
    phases = default_schedule(anatomy, lr, lr_decay=lr_decay)
    lines = [
        f"# Unfreezing schedule for {anatomy.model_type or 'this model'}: {len(phases)} phases, "
        f"{anatomy.num_parameters:,} parameters.",
        "# A phase adds its params to those of the phases before it and ends after the epoch",
        "# max_transition_epoch of the run; the last one ends with the run.",
        f"# lr: {_number(lr)} for the head, times {lr_decay:g} a phase (layer-wise decay as in ELECTRA).",
    ]
    for names in anatomy.tied:
        lines.append(f"# Tied, listed once: {' = '.join(names)}")
    for index, phase in enumerate(phases):
        lines += ["", f"# {' and '.join(phase.units)}: {phase.num_parameters:,} parameters", f"{index}:"]
        lines += ["  params:", *(f"    - {_scalar(name)}" for name in phase.params)]
        if phase.max_transition_epoch is not None:
            lines.append(f"  max_transition_epoch: {phase.max_transition_epoch}")
        lines.append(f"  lr: {_number(phase.lr)}")
    return "\n".join(lines) + "\n"


def _phase(stage: tuple[Unit, ...], max_transition_epoch: int | None, lr: float) -> ScheduledPhase:
    present = [unit for unit in stage if unit.tensors]
    return ScheduledPhase(
        units=tuple(unit.name for unit in present),
        params=tuple(name for unit in present for name in unit.tensors),
        num_parameters=sum(unit.numel for unit in present),
        max_transition_epoch=max_transition_epoch,
        # Six digits are what a reader edits; the head's own lr passes unchanged.
        lr=lr if max_transition_epoch == 1 else float(f"{lr:.6g}"),
    )


def _number(value: float) -> str:
    """Writes a float with a point and a signed exponent, which YAML 1.1 needs to see a number."""
    for digits in range(1, 17):
        text = f"{value:.{digits}e}"
        if float(text) == value:
            return text
    return f"{value:.17e}"


def _scalar(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)
