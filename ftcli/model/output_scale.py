"""A scale of the outputs, moved into or out of a model's last layers, so that plain libraries need not know of it.

A head's last linear layer takes the standard deviation into its weight w and the mean into its bias. Heads of decoders
have no bias. Where the head reads a LayerNorm, as in GPT-2 and OPT, that layer's bias takes the mean along w:
w @ (x + w * mean / |w|^2) = w @ x + mean. After an RMSNorm, as in Llama, nothing can hold it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, FtcliError, Problem
from ftcli.plan.units import base_prefix

if TYPE_CHECKING:
    import torch
    from torch import nn

HINT = "type task.standardize=false and give labels near 0 (subtract their mean), or choose a model with such a bias, such as BERT or GPT-2"
PROBE_IDS = (5, 6, 7)
"""Tokens that are run to see which layer the head reads; any would do."""


def fold(model: nn.Module, mean: float, std: float) -> None:
    """Changes the last layers, in place, so that the model gives output * std + mean.

    Args:
        model: of transformers, with one output, adapters in place or not.
        mean: is added.
        std: multiplies.

    Raises:
        ConfigError: no layer has a bias that could hold the mean.
    """
    import torch

    layer = last_linear(model)
    norm = None if layer.bias is not None else norm_before(model, layer)
    if layer.bias is None and norm is None:
        raise ConfigError(Problem("task.standardize", no_place(model), HINT))
    with torch.no_grad():
        # In fp64: every number is rounded once.
        weight = layer.weight.double()
        if norm is None:
            layer.bias.copy_(layer.bias.double() * std + mean)
        else:
            direction = weight[0] / (weight[0] @ weight[0])
            norm.bias.copy_(norm.bias.double() + direction * (mean / std))
        layer.weight.copy_(weight * std)


def unfold(model: nn.Module, mean: float, std: float) -> None:
    """Changes a model that gives numbers in the user's unit, in place, so that it gives (number - mean) / std.

    Raises:
        ConfigError: no layer has a bias that could hold the mean.
    """
    fold(model, -mean / std, 1 / std)


def no_place(model: nn.Module) -> str:
    """Returns the reason why a model cannot hold the mean of its labels."""
    return f"{type(model).__name__} has no bias in its last layers that could hold the mean of the labels"


def can_hold_mean(model: nn.Module) -> bool:
    """Returns whether `fold` finds a place for the mean."""
    try:
        layer = last_linear(model)
    except FtcliError:
        return False
    return layer.bias is not None or norm_before(model, layer) is not None


def last_linear(model: nn.Module) -> nn.Linear:
    """Returns the layer that gives the one output of a model.

    Raises:
        ConfigError: there is none.
    """
    from torch import nn

    prefix = base_prefix(model) + "."
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == 1 and not name.startswith(prefix)
    ]
    if not found:
        message = f"the head of {type(model).__name__} ends in no linear layer that could hold the scale of the labels"
        raise ConfigError(Problem("task.standardize", message, HINT))
    return found[-1]


def norm_before(model: nn.Module, layer: nn.Module) -> nn.LayerNorm | None:
    """Returns the LayerNorm with a bias whose output is what a layer reads, as a short forward shows; None for another.

    Args:
        model: of transformers.
        layer: its last one.
    """
    from torch import nn

    # Not subclasses: of an adapter's, another tensor may be the bias that counts.
    norms = [m for m in model.modules() if type(m) is nn.LayerNorm and m.bias is not None and m is not layer]
    outputs: dict[nn.Module, torch.Tensor] = {}
    read: list[torch.Tensor] = []

    def keep(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        outputs[module] = output

    hooks = [norm.register_forward_hook(keep) for norm in norms]
    hooks.append(layer.register_forward_pre_hook(lambda _, given: read.append(given[0])))
    training = model.training
    try:
        _probe(model.eval())
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return next(
        (norm for norm in norms if read and norm in outputs and _equal(outputs[norm], read[-1])), None
    )


def _probe(model: nn.Module) -> None:
    import torch

    ids = torch.tensor([PROBE_IDS], device=next(model.parameters()).device)
    ids %= model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    with torch.no_grad():
        model(input_ids=ids, attention_mask=torch.ones_like(ids))


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool((one.float() == other.float()).all())
