"""The embeddings are frozen, everything above them trains."""

from __future__ import annotations

from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import FreezingConfig
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Selection, unit_hit


@dataclass(kw_only=True, slots=True)
class EmbeddingsConfig(FreezingConfig):
    """No fields."""


@register("freezing", EmbeddingsConfig)
def build(config: EmbeddingsConfig, anatomy: Anatomy) -> Selection:
    """Returns a selection of all tensors but the embeddings (positions, types and their norm included)."""
    trainable = frozenset(anatomy.names) - set(anatomy.embeddings.tensors)
    return Selection(trainable, (unit_hit(anatomy.embeddings, "freeze"),), "the embeddings are frozen")
