"""The head of a model in fp32, whatever precision the base computes in.

Autocast multiplies in bf16 or fp16 wherever there is a matrix product, the head's included. A logit then has 8
significant bits: a regression on years answers in multiples of 8, probabilities tie, and a cast to fp32 afterwards
brings nothing back. Here autocast covers the base model alone. What the base returns is cast to fp32, and everything
behind it, as well as a pooler inside it, computes in fp32. The same holds where the weights themselves are held in 16
bits: the head's are widened for the length of a forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ftcli.errors import PlanError
from ftcli.plan.units import base_prefix

HALF = (torch.bfloat16, torch.float16)
POOLER = "pooler"


def run_head_in_fp32(model: nn.Module, precision: str) -> bool:
    """Lets head and pooler compute in fp32 inside autocast and under 16-bit weights, in place.

    Classes are exchanged, not the modules: names, tensors, hooks and references stay.

    Args:
        model: of transformers, with a task head and, where there are any, adapters.
        precision: `fp32`, `bf16` or `fp16`: of the run's autocast region.

    Returns:
        Whether the model was changed; False where all of it is in fp32 anyway, and for a model whose base cannot be
        distinguished from its head.
    """
    if precision == "fp32" and not any(p.dtype in HALF for p in model.parameters()):
        return False
    try:
        base = model.get_submodule(base_prefix(model))
    except PlanError:
        return False
    poolers = [module for name, module in base.named_modules() if name.rpartition(".")[2] == POOLER]
    for pooler in poolers:
        _mix(pooler, _InFp32)
    _mix(base, _Base)
    _mix(model, _Whole)
    head = [child for child in model.children() if child is not base]
    # Past nn.Module.__setattr__: these are references, not further children.
    model.__dict__["precise_base"], model.__dict__["precise_parts"] = base, [*head, *poolers]
    return True


def _mix(module: nn.Module, mixin: type) -> None:
    """Puts a mixin before the module's class; the class keeps its name, by which transformers looks up behaviour."""
    own = type(module)
    if not issubclass(own, mixin):
        module.__class__ = type(own.__name__, (mixin, own), {"__module__": own.__module__})


class _Whole:
    """The model: no autocast but in the base, which is given the dtype."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the model returns, logits in fp32."""
        model: Any = self
        with _widened(model.precise_parts):
            device = next(model.parameters()).device.type
            if not torch.is_autocast_enabled(device):
                return super().forward(*args, **kwargs)  # type: ignore[misc]
            base = model.precise_base
            base.__dict__["autocast_dtype"] = torch.get_autocast_dtype(device)
            try:
                with torch.autocast(device, enabled=False):
                    return super().forward(*args, **kwargs)  # type: ignore[misc]
            finally:
                base.__dict__["autocast_dtype"] = None


class _Base:
    """The base model: in the autocast region that surrounds the whole; its outputs leave in fp32."""

    autocast_dtype: torch.dtype | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the base returns, hidden states (batch, seq_len, dim) and the like in fp32."""
        base: Any = self
        if self.autocast_dtype is None:
            return _in_fp32(super().forward(*args, **kwargs))  # type: ignore[misc]
        device = next(base.parameters()).device.type
        with torch.autocast(device, dtype=self.autocast_dtype):
            output = super().forward(*args, **kwargs)  # type: ignore[misc]
        return _in_fp32(output)


class _InFp32:
    """A module of the head: no autocast, and inputs in fp32."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the module returns, in fp32."""
        module: Any = self
        device = next(module.parameters()).device.type
        inputs = [_wide(value) for value in args]
        named = {name: _wide(value) for name, value in kwargs.items()}
        with torch.autocast(device, enabled=False):
            return super().forward(*inputs, **named)  # type: ignore[misc]


def _wide(value: Any) -> Any:
    """Returns a tensor of 16 bits in fp32, anything else as it is."""
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in HALF else value


def _in_fp32(output: Any) -> Any:
    """Returns a base model's output with its own tensors in fp32; tuples inside it, which no head reads, stay."""
    if isinstance(output, torch.Tensor):
        return _wide(output)
    if isinstance(output, tuple):
        return tuple(_wide(value) for value in output)
    for name, value in output.items():
        if (wide := _wide(value)) is not value:
            output[name] = wide
    return output


@contextmanager
def _widened(parts: list[nn.Module]) -> Iterator[None]:
    """Lets modules compute with fp32 copies of weights that are held in 16 bits; gradients reach the weights."""
    held = [
        (module, name, parameter)
        for part in parts
        for module in part.modules()
        for name, parameter in module._parameters.items()
        if parameter is not None and parameter.dtype in HALF
    ]
    for module, name, parameter in held:
        module._parameters[name] = parameter.float()  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, name, parameter in held:
            module._parameters[name] = parameter
