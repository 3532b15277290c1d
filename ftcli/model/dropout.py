"""Dropout with cheaper masks on the CPU: 16 random bits for each element, four elements from one 64-bit draw.

torch draws one Bernoulli number for each element on the CPU. Here four elements share one 64-bit draw of the same
generator, so a seed still fixes the mask. Two things differ from torch's own dropout: the seed drops other elements,
and p is rounded to a multiple of 1 / 65,536 (0.1 becomes 0.100006). Elements that are kept are scaled by the rounded
p, so expectations are exact in fp32.
"""

from __future__ import annotations

import torch
from torch import nn

LEVELS = 1 << 16
"""Values of 16 random bits: p is a multiple of 1 / LEVELS."""
INT16_MIN, INT64_MIN = -(1 << 15), -(1 << 63)


class BitDropout(nn.Dropout):
    """`torch.nn.Dropout` (Srivastava et al., 2014) with the mask of `mask`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Returns the input with elements dropped and the others scaled by 1 / (1 - p), in the same shape and dtype.

        Args:
            input: any shape, on the CPU.
        """
        if not self.training or self.p == 0 or self.inplace:
            return super().forward(input)
        return input * mask(input, self.p)


def mask(like: torch.Tensor, p: float) -> torch.Tensor:
    """Returns 0 with probability p, else 1 / (1 - p), independently for each element.

    Args:
        like: any shape; the mask takes its shape, dtype and (CPU) device.
        p: probability in [0, 1], rounded to the nearest multiple of 1 / 65,536.
    """
    dropped = round(p * LEVELS)
    if dropped == LEVELS:
        return torch.zeros_like(like)
    # Without an upper bound the draw covers all of int64; 2**63 itself cannot be passed as a bound.
    draws = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(INT64_MIN, None)
    bits = draws.view(torch.int16)[: like.numel()].view(like.shape)
    # The lowest `dropped` of the 65,536 values drop an element.
    return (bits >= INT16_MIN + dropped).to(like.dtype).mul_(LEVELS / (LEVELS - dropped))


def use_bits(model: nn.Module) -> int:
    """Replaces every plain dropout layer of the model by `BitDropout`, in place; returns how many there were."""
    plain = [module for module in model.modules() if type(module) is nn.Dropout]
    for module in plain:
        # The class is swapped instead of the module: hooks and references to the layer stay valid.
        module.__class__ = BitDropout
    return len(plain)
