"""A model's tensors by name: put in place, and compared."""

from __future__ import annotations

import torch


def tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns parameters and buffers by name, each once."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def load_tensors(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copies named tensors into the model's parameters and buffers, in place."""
    own = tensors_of(model)
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def holds(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> bool:
    """Returns whether the model's tensors of these names have these values."""
    own = tensors_of(model)
    return all(torch.equal(own[name].detach().cpu(), tensor) for name, tensor in tensors.items())
