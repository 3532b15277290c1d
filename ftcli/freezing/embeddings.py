"""The embeddings are frozen, everything above them trains."""

from __future__ import annotations

from dataclasses import dataclass

from ftcli.config import FreezingConfig
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Selection, unit_hit
from ftcli.registry import register


@dataclass(kw_only=True, slots=True)
class EmbeddingsConfig(FreezingConfig):
    """No fields."""


@register("freezing", EmbeddingsConfig)
def build(config: EmbeddingsConfig, anatomy: Anatomy) -> Selection:
    """Returns a selection of all tensors but the embeddings (positions, types and their norm included)."""
    trainable = frozenset(anatomy.names) - set(anatomy.embeddings.tensors)
    return Selection(trainable, (unit_hit(anatomy.embeddings, "freeze"),), "the embeddings are frozen")
