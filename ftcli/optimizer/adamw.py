"""AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101), torch's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftcli.config.registry import register
from ftcli.config.schema import OptimizerConfig
from ftcli.errors import ConfigError, Problem
from ftcli.plan.checks import optimizer_problems

if TYPE_CHECKING:
    import torch

FUSED_DEVICES = ("cpu", "cuda", "mps")


@dataclass(kw_only=True, slots=True)
class AdamwConfig(OptimizerConfig):
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    """Decay in [0, 1) of the running means of the gradient and of its square."""
    eps: float = 1e-8
    """Added to the denominator; above 0."""
    fused: bool | None = None
    """One kernel for the whole step. None: where torch has it (cpu, cuda, mps)."""

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
def build(config: AdamwConfig, groups: Sequence[dict[str, Any]], *, device_type: str) -> torch.optim.AdamW:
    """Returns the optimizer over the plan's groups.

    Args:
        config: betas, eps, fused; lr and weight decay are the groups' own.
        groups: dicts with `params`, a list of (name, parameter), `lr`, `weight_decay` and `name`.
        device_type: of the parameters, such as `cuda`.

    Raises:
        ConfigError: `fused=true` on a device without it.
    """
    import torch

    if config.fused and device_type not in FUSED_DEVICES:
        raise ConfigError(
            Problem("optimizer.fused", f"torch has no fused AdamW on {device_type}", "optimizer.fused=null")
        )
    fused = device_type in FUSED_DEVICES if config.fused is None else config.fused
    beta1, beta2 = config.betas
    return torch.optim.AdamW(
        list(groups),
        lr=config.lr,
        betas=(beta1, beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=fused,
    )
