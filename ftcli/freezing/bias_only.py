"""Only biases and the head train: BitFit (Ben Zaken et al., 2022, arXiv:2106.10199).

The norms' biases are biases too; GPT-2 keeps its in Conv1D and `ln_*` modules.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import FreezingConfig
from ftcli.errors import PlanError, Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Selection, hit_of, unit_hit


@dataclass(kw_only=True, slots=True)
class BiasOnlyConfig(FreezingConfig):
    """No fields."""


@register("freezing", BiasOnlyConfig)
def build(config: BiasOnlyConfig, anatomy: Anatomy) -> Selection:
    """Returns a selection of every bias of the base model, and of the head.

    Raises:
        PlanError: the base model has no biases (Llama).
    """
    biases = {t.name for t in anatomy.tensors if t.is_bias and t.unit != anatomy.head.name}
    if not biases:
        message = f"the base model ({anatomy.model_type}) has no biases, so that only the head would train"
        raise PlanError(Problem("freezing", message, "freezing=head-only says so, peft=lora trains more"))
    hits = (hit_of(anatomy, "biases", "train", biases), unit_hit(anatomy.head, "train"))
    return Selection(frozenset(biases) | set(anatomy.head.tensors), hits, "only biases and the head train")
