"""Which modules of a model a method adapts: named, by architecture, or all; in all blocks or in some."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.config.schema import PeftConfig
from ftcli.errors import ConfigError, PlanError, Problem, nearest
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.safe_regex import SafePattern
from ftcli.plan.selectors import blocks_of
from ftcli.plan.units import base_prefix

if TYPE_CHECKING:
    from torch import nn

ALL_LINEAR = "all-linear"
KEY = "peft.target_modules"
Defaults = Mapping[str, Sequence[str] | str]
"""model_type -> module names, or one regex."""
OUR_TARGETS: Defaults = {
    "albert": ("query", "value"),
    "camembert": ("query", "value"),
    "convnext": ("pwconv1", "pwconv2"),
    "distilbert": ("q_lin", "v_lin"),
    "modernbert": ("Wqkv",),
    "mpnet": ("q", "v"),
    "vit": ("q_proj", "v_proj", "query", "value"),
    "xlm-roberta-xl": ("query", "value"),
}
"""Query and value projections, as in LoRA's paper, by `model_type`, where peft has no default; ConvNeXt,
which has no attention: its pointwise layers."""

Limit = tuple[Callable[[Any], bool], str]
MAX_RANK, MAX_WIDTH = 16_384, 65_536
"""Of adapters: no layer of a transformer is wider, and what is larger takes hours or all memory before a step is made."""
COUNT: Limit = (lambda v: v >= 1, "at least 1")
RANK: Limit = (lambda v: 1 <= v <= MAX_RANK, f"a whole number from 1 to {MAX_RANK:,}")
PROBABILITY: Limit = (lambda v: 0 <= v < 1, "in [0, 1)")
POSITIVE: Limit = (lambda v: v > 0 and math.isfinite(v), "a number above 0")
NOT_NEGATIVE: Limit = (lambda v: v >= 0, "at least 0")


@dataclass(kw_only=True, slots=True)
class TargetedConfig(PeftConfig):
    target_modules: list[str] | None = None
    """Names of the modules to adapt, whole or their last parts; `[all-linear]`: every linear module of
    the base model. None: the architecture's default."""
    layers: str | None = None
    """Blocks to adapt, as in `layers[...]` of a schedule: `-2:` the top two, `0:4`, `3`. None: all."""

    def target_problems(self) -> list[Problem]:
        """Returns what is wrong with the list before the model is known."""
        problems = []
        if self.target_modules is not None and not self.target_modules:
            problems.append(Problem(KEY, "the list is empty", f"{KEY}=null takes the architecture's default"))
        if ALL_LINEAR in (self.target_modules or ()) and len(self.target_modules or ()) > 1:
            problems.append(Problem(KEY, f"{ALL_LINEAR} stands alone", f"{KEY}=[{ALL_LINEAR}]"))
        return problems


def out_of_range(config: Any, limits: Mapping[str, tuple[Limit, str]]) -> list[Problem]:
    """Returns a problem for each field outside its limit; a limit comes with a value to type."""
    return [
        Problem(f"peft.{name}", f"{getattr(config, name)} is not {what}", f"peft.{name}={example}")
        for name, ((holds, what), example) in limits.items()
        if getattr(config, name) is not None and not holds(getattr(config, name))
    ]


@dataclass(frozen=True, slots=True)
class Targets:
    """The modules to adapt."""

    names: list[str]
    """Full names."""
    source: str
    """Who chose them, for the line that is printed."""

    @property
    def leaves(self) -> str:
        """Last parts of the names, such as `query, value`."""
        return ", ".join(sorted({name.rpartition(".")[2] for name in self.names}))


def find_targets(
    config: TargetedConfig, model: nn.Module, defaults: tuple[Defaults, Defaults], *, conv1d: bool = True
) -> Targets:
    """Returns the linear modules to adapt.

    Args:
        config: its `target_modules` and `layers`.
        model: a transformers model with a head, which is never adapted.
        defaults: peft's for this method, then ours.
        conv1d: the method can adapt Conv1D modules, which GPT-2 has in place of Linear.

    Raises:
        ConfigError: a target that is no such module of the base model, blocks the model does not have,
            or an architecture without a default.
    """
    available = linear_modules(model, conv1d=conv1d)
    model_type = str(getattr(getattr(model, "config", None), "model_type", ""))
    if not available and linear_modules(model):
        message = f"this method adapts no Conv1D modules, and {model_type} models have no other"
        raise ConfigError(Problem("peft", message, "peft=lora"))
    if config.target_modules == [ALL_LINEAR]:
        found = Targets(available, "all linear modules of the base")
    elif config.target_modules is not None:
        problems = [_no_hit(t, available) for t in config.target_modules if not matching(t, available)]
        if problems:
            raise ConfigError(*problems)
        found = Targets(_chosen(config.target_modules, available), "as configured")
    else:
        found = _default_targets(model_type, available, defaults)
    if not found.names:
        kind = model_type or type(model).__name__
        raise ConfigError(Problem(KEY, f"there is no default for {kind} models", _choices(available)))
    return in_layers(config, model, found)


def in_layers(config: TargetedConfig, model: nn.Module, found: Targets) -> Targets:
    """Keeps the targets in the blocks that `peft.layers` names.

    Raises:
        ConfigError: no such blocks, or none of the targets in them.
    """
    if config.layers is None:
        return found
    tensors = blocks_of(read_anatomy(model), f"layers[{config.layers}]", "peft.layers")
    if tensors is None:
        message = f"{config.layers!r} is no slice of the layers"
        tensors = Problem("peft.layers", message, "peft.layers=-2: (the top two), 0:4 or 3")
    if isinstance(tensors, Problem):
        raise ConfigError(tensors)
    kept = [name for name in found.names if any(tensor.startswith(name + ".") for tensor in tensors)]
    if not kept:
        message = f"no target ({found.leaves}) is in layers[{config.layers}]"
        raise ConfigError(Problem("peft.layers", message, "peft.layers=null adapts all layers"))
    return Targets(kept, f"{found.source}, layers[{config.layers}]")


def _default_targets(
    model_type: str, available: Sequence[str], defaults: tuple[Defaults, Defaults]
) -> Targets:
    for own, whose in zip(defaults, ("peft", "ftcli"), strict=True):
        wanted = own.get(model_type, ())
        wanted = [wanted] if isinstance(wanted, str) else list(wanted)
        names = _chosen(wanted, available)
        if names:
            return Targets(names, f"{whose}'s default for {model_type}")
        if wanted and whose == "ftcli":
            message = (
                f"{whose}'s default for {model_type}, {', '.join(wanted)}, is in no module of this model"
            )
            raise ConfigError(Problem(KEY, message, _choices(available)))
    return Targets([], "")


def linear_modules(model: nn.Module, *, conv1d: bool = True) -> list[str]:
    """Returns the names of the base model's Linear modules, and of its Conv1D ones where asked."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    kinds = (nn.Linear, Conv1D) if conv1d else nn.Linear
    return base_modules(model, lambda module: isinstance(module, kinds))


def base_modules(model: nn.Module, wanted: Callable[[nn.Module], bool]) -> list[str]:
    """Returns the names of the base model's modules that are wanted, in the model's order."""
    try:
        base = base_prefix(model) + "."
    except PlanError as error:
        raise ConfigError(*error.problems) from error
    return [name for name, module in model.named_modules() if name.startswith(base) and wanted(module)]


def _chosen(targets: Sequence[str], available: Sequence[str]) -> list[str]:
    return [name for name in available if any(matching(t, [name]) for t in targets)]


def matching(target: str, names: Sequence[str]) -> list[str]:
    """Returns the names a target means, as in peft: whole names, their last parts, or a regex of them.

    Raises:
        PlanError: the target takes too long to match.
    """
    if re.fullmatch(r"[\w.]+", target):
        return [name for name in names if name == target or name.endswith("." + target)]
    try:
        pattern = SafePattern(target, KEY)
    except PlanError:
        return []
    return [name for name in names if pattern.fullmatch(name)]


def _no_hit(target: str, available: Sequence[str]) -> Problem:
    near = nearest(target, {name.rpartition(".")[2] for name in available})
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    message = f"{target!r} is no Linear or Conv1D module of the base model; the head trains as a whole anyway"
    return Problem(KEY, message, guess + _choices(available))


def _choices(available: Sequence[str]) -> str:
    leaves = sorted({name.rpartition(".")[2] for name in available})
    return f"modules that exist: {', '.join(leaves)}, or {KEY}=[{ALL_LINEAR}]"
