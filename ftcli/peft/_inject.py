"""Adds the layers of a method of the peft library to a model, in place and seeded."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, Problem

if TYPE_CHECKING:
    from torch import nn
WIDTHS = "ranks and block sizes must fit the widths of the targets: type smaller ones, or other peft.target_modules"


@dataclass(frozen=True, slots=True)
class Added:
    """Names of the tensors that train, and how many parameters they are."""

    names: frozenset[str]
    numel: int


def inject(peft_config: Any, model: nn.Module, *, seed: int) -> Added:
    """Adds the layers that `peft_config` describes; the model keeps its class.

    peft's own `inject_adapter_in_model` refuses methods whose layers share tensors (VeRA), lest the tuner
    that holds them is lost; the layers hold them too, so that here nothing is.

    Args:
        peft_config: one of the peft library's; `target_modules` are full names.
        model: on any device; on `meta` the new tensors are meta too.
        seed: of what is drawn; torch's global generator is left untouched.

    Returns:
        The new tensors that train, float32 whatever the base's precision. The others that a method adds
        (AdaLoRA's ranknum) are functions of its config.

    Raises:
        ConfigError: values that peft refuses for this model.
    """
    import torch
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    before = {id(parameter) for parameter in model.parameters()}
    tuner = PEFT_TYPE_TO_TUNER_MAPPING[peft_config.peft_type]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), _no_compiling():
        # LayerNorm tuning asks for the sizes of norms; peft knows those of linear modules only and warns.
        warnings.filterwarnings("ignore", message="Unsupported layer type", category=UserWarning)
        # torch.manual_seed would also seed the GPUs, which fork_rng does not restore here.
        torch.random.default_generator.manual_seed(seed)
        try:
            tuner(model, peft_config, adapter_name="default")
        except ValueError as error:
            raise ConfigError(Problem("peft", f"the peft library refuses: {error}", WIDTHS)) from error
    added = {name: p for name, p in model.named_parameters() if id(p) not in before}
    # By peft's own rule, not by requires_grad: on the meta device peft re-creates parameters without it.
    trained = {name: p for name, p in added.items() if tuner.prefix in name}
    for parameter in trained.values():
        # get_peft_model does the same; left alone, they have the base's precision.
        parameter.data = parameter.data.float()
    return Added(frozenset(trained), sum(p.numel() for p in trained.values()))


@contextmanager
def _no_compiling() -> Iterator[None]:
    """Keeps peft from compiling BOFT's CUDA extension: results would then depend on whether a machine can."""
    from peft.tuners.boft import layer

    own = layer.get_fbd_cuda
    layer.get_fbd_cuda = lambda: None
    try:
        yield
    finally:
        layer.get_fbd_cuda = own


def fan_in_fan_out(model: nn.Module, targets: list[str]) -> bool:
    """Returns whether the targets are Conv1D, whose weight is (in, out) instead of (out, in)."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(model.get_submodule(target), Conv1D) for target in targets)
