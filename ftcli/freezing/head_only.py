"""Only the head trains: the base model is a fixed feature extractor."""

from __future__ import annotations

from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import FreezingConfig
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Selection, unit_hit


@dataclass(kw_only=True, slots=True)
class HeadOnlyConfig(FreezingConfig):
    """No fields."""


@register("freezing", HeadOnlyConfig)
def build(config: HeadOnlyConfig, anatomy: Anatomy) -> Selection:
    """Returns a selection of the head's tensors; BERT's pooler belongs to the base and stays frozen."""
    summary = "only the head trains"
    if not anatomy.head.tensors:
        summary = "the head has no weights of its own, they are those of the word embeddings"
    return Selection(frozenset(anatomy.head.tensors), (unit_hit(anatomy.head, "train"),), summary)
