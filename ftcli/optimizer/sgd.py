"""Stochastic gradient descent with momentum, torch's own.

Weight decay here is L2 added to the gradient, as in torch, not AdamW's decoupled decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.config.schema import OptimizerConfig
from ftcli.errors import Problem
from ftcli.plan.checks import optimizer_problems

if TYPE_CHECKING:
    import torch

    from ftcli.plan.builders import ParameterGroup


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

    @property
    def state_slots(self) -> int:
        """The momentum, if there is one."""
        return 1 if self.momentum else 0

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
def build(config: SgdConfig, groups: Sequence[ParameterGroup], *, device_type: str) -> torch.optim.SGD:
    """Returns the optimizer over the plan's parameter groups.

    Args:
        config: momentum, nesterov; lr and weight decay are the groups' own.
        groups: the plan's, with named parameters.
        device_type: of the parameters; torch chooses its kernel by it.
    """
    import torch

    # Every group states its own lr and weight decay.
    own = [dict(group) for group in groups]
    return torch.optim.SGD(own, momentum=config.momentum, nesterov=config.nesterov)
