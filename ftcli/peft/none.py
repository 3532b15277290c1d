"""No adapters: the model's own tensors train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.config.schema import PeftConfig
from ftcli.plan.adapters import PeftResult

if TYPE_CHECKING:
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.batching.protocols import Tokenizer


@dataclass(kw_only=True, slots=True)
class NoneConfig(PeftConfig):
    """No fields."""


@register("peft", NoneConfig)
def build(
    config: NoneConfig,
    model: nn.Module,
    *,
    seed: int,
    tokenizer: Tokenizer | None = None,
    head: Head | None = None,
) -> PeftResult:
    """Returns the model as it is."""
    return PeftResult(model, frozenset())
