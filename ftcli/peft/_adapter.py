"""The module of a bottleneck adapter; a file of its own, as it needs torch at import."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

SPREAD = 0.01
"""Standard deviation of both projections, truncated at twice that: section 2.1 of Houlsby et al., 2019."""


class Bottleneck(nn.Module):
    """h + W_up f(W_down h), its parameters in float32 whatever the base has.

    Args:
        width: of the model.
        size: of the bottleneck.
        non_linearity: `gelu`, `relu`, `silu` or `tanh`.
    """

    def __init__(self, width: int, size: int, non_linearity: str) -> None:
        super().__init__()
        self.down = nn.Linear(width, size, dtype=torch.float32)
        self.up = nn.Linear(size, width, dtype=torch.float32)
        self.function = getattr(torch if non_linearity == "tanh" else nn.functional, non_linearity)
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., width), of the input's dtype."""
        change: torch.Tensor = self.up(self.function(self.down(hidden.to(self.down.weight.dtype))))
        return hidden + change.to(hidden.dtype)

    def after(self, module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        """Adapts the output of a sublayer's last module, as its forward hook: (..., width) -> (..., width)."""
        adapted: torch.Tensor = self(output)
        return adapted
