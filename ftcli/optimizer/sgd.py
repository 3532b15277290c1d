"""Stochastic gradient descent with momentum, torch's own.

Weight decay here is L2 added to the gradient, as in torch, not AdamW's decoupled decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.config.registry import register
from ftcli.config.schema import OptimizerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import optimizer_problems

if TYPE_CHECKING:
    import torch


@dataclass(kw_only=True, slots=True)
class SgdConfig(OptimizerConfig):
    lr: float = 1e-2
    """Peak learning rate; SGD needs a far larger one than AdamW."""
    weight_decay: float = 1e-4
    """L2 penalty, added to the gradient, of the groups that decay."""
    momentum: float = 0.9
    """Decay in [0, 1) of the running sum of gradients; 0: none is kept."""
    nesterov: bool = False
    """Look ahead along the momentum before taking the gradient step."""

    def problems(self) -> list[Problem]:
        """Returns values out of range."""
        problems = optimizer_problems(self)
        if not 0 <= self.momentum < 1:
            message = f"{self.momentum} is not in [0, 1)"
            problems.append(Problem("optimizer.momentum", message, "optimizer.momentum=0.9"))
        if self.nesterov and self.momentum == 0:
            message = "true needs a momentum above 0"
            problems.append(Problem("optimizer.nesterov", message, "optimizer.momentum=0.9"))
        return problems


@register("optimizer", SgdConfig)
def build(config: SgdConfig, groups: Sequence[dict[str, Any]], *, device_type: str) -> torch.optim.SGD:
    """Returns the optimizer over the plan's groups.

    Args:
        config: momentum, nesterov; lr and weight decay are the groups' own.
        groups: dicts with `params`, a list of (name, parameter), `lr`, `weight_decay` and `name`.
        device_type: of the parameters; torch chooses its kernel by it.
    """
    import torch

    return torch.optim.SGD(
        list(groups),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )
