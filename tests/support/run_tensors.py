"""The tensors of a run, and whether two sets of them are the same bit for bit."""

from __future__ import annotations

import torch


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.context.model.named_parameters()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    def raw(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.view(torch.uint8) if tensor.ndim else tensor

    return first.keys() == second.keys() and all(torch.equal(raw(first[n]), raw(second[n])) for n in first)
