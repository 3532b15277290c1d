"""A model's tensors by name: read, loaded and compared."""

from __future__ import annotations

from collections.abc import Collection

import torch

from ftcli.errors import CheckpointError, Problem


def tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns parameters and buffers by name, each once; shapes are the model's."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def load_tensors(
    model: torch.nn.Module, tensors: dict[str, torch.Tensor], required: Collection[str] = ()
) -> None:
    """Copies named tensors into the model's parameters and buffers, in place.

    Args:
        model: has a tensor of each of these names.
        tensors: by name, each of its tensor's shape, on any device.
        required: names that must be there: those that a run trains would otherwise keep the values of its base.

    Raises:
        CheckpointError: a tensor that is required and missing, that the model does not have, or has in another shape;
            nothing is changed then.
    """
    if lacking := sorted(set(required) - tensors.keys()):
        message = (
            f"{len(lacking)} of the tensors that the run trains are not in it, such as {lacking[0]:.200}"
        )
        hint = "ftcli verify says what does not hold; take another checkpoint with --checkpoint"
        raise CheckpointError(Problem("checkpoint", message, hint))
    own = tensors_of(model)
    odd = [name for name, value in tensors.items() if name not in own or own[name].shape != value.shape]
    if odd:
        there = (
            f"has shape {tuple(own[odd[0]].shape)} in the model" if odd[0] in own else "is not in the model"
        )
        message = f"{len(odd)} of its tensors do not fit the model: {odd[0]:.200}, of shape {tuple(tensors[odd[0]].shape)}, {there}"
        hint = "are config.yaml and data.json those of this run? ftcli verify says what is not"
        raise CheckpointError(Problem("checkpoint", message, hint))
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def holds(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> bool:
    """Returns whether the model's tensors of these names have these values, shapes included, bit for bit but for -0.0 and NaN.

    Args:
        model: has a tensor of each of these names.
        tensors: by name, on the CPU.
    """
    own = tensors_of(model)
    return all(torch.equal(own[name].detach().cpu(), tensor) for name, tensor in tensors.items())


def running_statistics(model: torch.nn.Module) -> list[torch.Tensor]:
    """Returns the buffers that a forward in train mode changes: those of batch normalization, (channels,) each."""
    return [
        buffer
        for module in model.modules()
        if "running_mean" in module._buffers
        for buffer in module._buffers.values()
        if buffer is not None
    ]
