"""What a PEFT method did to a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class PeftResult:
    """The model, changed in place, and the names of the parameters that the method added."""

    model: nn.Module
    adapter_names: frozenset[str]
    decisions: tuple[str, ...] = ()
