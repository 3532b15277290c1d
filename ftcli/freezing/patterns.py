"""Full-match regexes over tensor names say what trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from ftcli.config.fields import ALLOW_CHANGE
from ftcli.config.registry import register
from ftcli.config.schema import FreezingConfig
from ftcli.errors import ConfigError, Problem
from ftcli.plan.anatomy import Anatomy
from ftcli.plan.patterns import Hit, Selection, match_patterns, raise_problems


@dataclass(kw_only=True, slots=True)
class PatternsConfig(FreezingConfig):
    train: Annotated[list[str], ALLOW_CHANGE] = field(default_factory=list)
    """Regexes that match whole tensor names: only these train. Empty: all tensors."""
    freeze: Annotated[list[str], ALLOW_CHANGE] = field(default_factory=list)
    """Regexes that match whole tensor names: of what would train, these do not."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        if self.train or self.freeze:
            return []
        hint = "freezing.train=['.*layer\\.11\\..*','classifier.*'], or freezing=none"
        return [Problem("freezing", "patterns need freezing.train or freezing.freeze; both are empty", hint)]


@register("freezing", PatternsConfig)
def build(config: PatternsConfig, anatomy: Anatomy) -> Selection:
    """Returns what `train` matches (all, if empty) without what `freeze` matches.

    Raises:
        ConfigError: both lists are empty.
        PlanError: invalid patterns and patterns without a hit, all of them at once.
    """
    if problems := config.problems():
        raise ConfigError(*problems)
    train, train_problems = match_patterns(anatomy, config.train, key="freezing.train", action="train")
    freeze, freeze_problems = match_patterns(anatomy, config.freeze, key="freezing.freeze", action="freeze")
    raise_problems([*train_problems, *freeze_problems])
    chosen = _names(train) if config.train else set(anatomy.names)
    count = len(config.train) + len(config.freeze)
    summary = f"{count} {'pattern says' if count == 1 else 'patterns say'} what trains"
    return Selection(frozenset(chosen - _names(freeze)), (*train, *freeze), summary)


def _names(hits: list[Hit]) -> set[str]:
    return {name for hit in hits for name in hit.names}
