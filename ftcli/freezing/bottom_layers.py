"""The embeddings and the bottom n blocks are frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ftcli.config.fields import ALLOW_CHANGE, NOT_NEGATIVE
from ftcli.config.registry import register
from ftcli.config.schema import FreezingConfig
from ftcli.errors import PlanError, Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Selection, unit_hit

KEY = "freezing.num_layers"


@dataclass(kw_only=True, slots=True)
class BottomLayersConfig(FreezingConfig):
    num_layers: Annotated[int | None, NOT_NEGATIVE, ALLOW_CHANGE] = None
    """Blocks frozen from the bottom, 0 to the model's depth; the embeddings are frozen besides.
    None: three quarters of the depth, rounded down."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        if self.num_layers is not None and self.num_layers < 0:
            return [Problem(KEY, f"{self.num_layers} is not a number of blocks; expected 0 or more")]
        return []


@register("freezing", BottomLayersConfig)
def build(config: BottomLayersConfig, anatomy: Anatomy) -> Selection:
    """Returns a selection of what lies above the bottom blocks.

    Three quarters by default: training the top quarter reached 90% of full fine-tuning's quality in
    Lee et al., 2019 (arXiv:1911.03090). Encoder-decoder models count the encoder's blocks first.

    Raises:
        PlanError: more blocks than the model has.
    """
    depth = len(anatomy.blocks)
    count = depth * 3 // 4 if config.num_layers is None else config.num_layers
    if not 0 <= count <= depth:
        message = f"{count} blocks cannot be frozen: this {anatomy.model_type} model has {depth}"
        raise PlanError(Problem(KEY, message + _shared_note(anatomy), f"{KEY}={depth} freezes all of them"))
    frozen = (anatomy.embeddings, *anatomy.blocks[:count])
    names = {name for unit in frozen for name in unit.tensors}
    hits = tuple(unit_hit(unit, "freeze") for unit in frozen)
    summary = f"the embeddings and the bottom {count} of {depth} blocks are frozen"
    return Selection(frozenset(anatomy.names) - names, hits, summary)


def _shared_note(anatomy: Anatomy) -> str:
    return ", because its layers share one set of weights" if anatomy.model_type == "albert" else ""
