"""What a PEFT method did to a model, and what it asks of plan, trainer and export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, slots=True)
class PeftResult:
    """The model, changed in place, and what the method needs from those who train and export it."""

    model: nn.Module
    adapter_names: frozenset[str]
    """Tensors the method trains: those it added, and the base's own it tunes (LayerNorm tuning)."""
    decisions: tuple[str, ...] = ()
    peft_config: Any = None
    """The peft library's config that describes the method; None: plain peft has no such method."""
    peft_names: Mapping[str, str] = field(default_factory=dict)
    """Adapter tensor -> its name in the model that `peft.get_peft_model(base, peft_config)` makes, where that is
    not `base_model.model.` before it."""
    regularisers: tuple[Callable[[nn.Module], torch.Tensor], ...] = ()
    """Each returns a scalar that is added once to a step's mean loss."""
    after_step: tuple[Callable[..., None], ...] = ()
    """Called as (model, state) after each applied step."""
