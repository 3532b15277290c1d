"""Nothing is frozen: every tensor trains."""

from __future__ import annotations

from dataclasses import dataclass

from ftcli.config.registry import register
from ftcli.config.schema import FreezingConfig
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Selection, hit_of


@dataclass(kw_only=True, slots=True)
class NoneConfig(FreezingConfig):
    """No fields."""


@register("freezing", NoneConfig)
def build(config: NoneConfig, anatomy: Anatomy) -> Selection:
    """Returns a selection of every tensor."""
    names = frozenset(anatomy.names)
    return Selection(names, (hit_of(anatomy, "everything", "train", names),), "nothing is frozen")
