"""A scale of the outputs, moved into or out of a head's last linear layer, so that plain libraries need not know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.errors import ConfigError, Problem
from ftcli.plan.units import base_prefix

if TYPE_CHECKING:
    from torch import nn


def fold(model: nn.Module, mean: float, std: float) -> None:
    """Changes the head, in place, so that it gives output * std + mean.

    Args:
        model: of transformers, with one output.
        mean: is added.
        std: multiplies.

    Raises:
        ConfigError: the last layer has no bias that could hold the mean.
    """
    import torch

    layer = last_linear(model)
    with torch.no_grad():
        # In fp64: weight and bias are rounded once.
        layer.weight.copy_(layer.weight.double() * std)
        layer.bias.copy_(layer.bias.double() * std + mean)


def unfold(model: nn.Module, mean: float, std: float) -> None:
    """Changes a head that gives numbers in the user's unit, in place, so that it gives (number - mean) / std.

    Raises:
        ConfigError: the last layer has no bias that could hold the mean.
    """
    fold(model, -mean / std, 1 / std)


def last_linear(model: nn.Module) -> nn.Linear:
    """Returns the layer that gives the one output of a model.

    Raises:
        ConfigError: there is none with a bias, as in most decoders.
    """
    from torch import nn

    prefix = base_prefix(model) + "."
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == 1 and not name.startswith(prefix)
    ]
    if not found or found[-1].bias is None:
        message = f"the head of {type(model).__name__} has no bias that could hold the mean of the labels"
        hint = "type task.standardize=false and give labels near 0, or choose a model whose head has a bias, such as BERT's"
        raise ConfigError(Problem("task.standardize", message, hint))
    return found[-1]
