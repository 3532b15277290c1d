"""AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101), torch's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.config.schema import OptimizerConfig
from ftcli.errors import ConfigError, Problem
from ftcli.plan.checks import optimizer_problems

if TYPE_CHECKING:
    import torch

    from ftcli.plan.builders import ParameterGroup

FUSED_DEVICES = ("cpu", "cuda", "mps")


@dataclass(kw_only=True, slots=True)
class AdamwConfig(OptimizerConfig):
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    """Decay in [0, 1) of the running means of the gradient and of its square."""
    eps: float = 1e-8
    """Added to the denominator; above 0."""
    fused: bool | None = None
    """One kernel for the whole step. None: where torch has it (cpu, cuda, mps)."""

    @property
    def state_slots(self) -> int:
        """The running means of the gradient and of its square."""
        return 2

    def problems(self) -> list[Problem]:
        """Returns values out of range."""
        problems = optimizer_problems(self)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            message = f"{list(self.betas)} is not two numbers in [0, 1)"
            problems.append(Problem("optimizer.betas", message, "optimizer.betas=[0.9,0.999]"))
        if not self.eps > 0:
            message = f"{self.eps} is not above 0"
            problems.append(Problem("optimizer.eps", message, "optimizer.eps=1e-8"))
        return problems


@register("optimizer", AdamwConfig)
def build(config: AdamwConfig, groups: Sequence[ParameterGroup], *, device_type: str) -> torch.optim.AdamW:
    """Returns the optimizer over the plan's parameter groups.

    Args:
        config: betas, eps, fused; lr and weight decay are the groups' own.
        groups: the plan's, with named parameters.
        device_type: of the parameters, such as `cuda`.

    Raises:
        ConfigError: `fused=true` on a device without it.
    """
    import torch

    if config.fused and device_type not in FUSED_DEVICES:
        message = f"torch has no fused AdamW on {device_type}"
        raise ConfigError(Problem("optimizer.fused", message, "optimizer.fused=null"))
    fused = device_type in FUSED_DEVICES if config.fused is None else config.fused
    beta1, beta2 = config.betas
    # Every group states its own lr and weight decay.
    own = [dict(group) for group in groups]
    return torch.optim.AdamW(own, betas=(beta1, beta2), eps=config.eps, fused=fused)
