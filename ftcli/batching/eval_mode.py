"""A model in eval mode for a while, and as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model into eval mode inside the `with` block; each module has its own mode back afterwards."""
    # Module by module: model.train() would switch on the dropout of frozen blocks.
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """As `eval_mode`; the CPU's random numbers go on afterwards as if nothing had been drawn."""
    import torch

    with eval_mode(model), torch.random.fork_rng(devices=[]):
        yield
