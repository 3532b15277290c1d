"""LoRA (Hu et al., 2021, arXiv:2106.09685) by the peft library, injected in place.

The model keeps its class and its names, but for `.base_layer` in the adapted modules. Which tensors
train is the plan's business: the adapters and the head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftcli.config import PeftConfig
from ftcli.errors import ConfigError, Problem, nearest
from ftcli.plan.adapters import PeftResult
from ftcli.plan.anatomy import base_prefix
from ftcli.registry import register

if TYPE_CHECKING:
    from torch import nn

ALL_LINEAR = "all-linear"
KEY = "peft.target_modules"
OUR_TARGETS: Mapping[str, tuple[str, ...]] = {
    "albert": ("query", "value"),
    "camembert": ("query", "value"),
    "distilbert": ("q_lin", "v_lin"),
    "modernbert": ("Wqkv",),
    "mpnet": ("q", "v"),
    "xlm-roberta-xl": ("query", "value"),
}
"""Query and value projections, as in the paper, by `model_type`, where peft has no default."""


@dataclass(kw_only=True, slots=True)
class LoraConfig(PeftConfig):
    r: int = 8
    """Rank of the adapters, at least 1."""
    lora_alpha: int = 16
    """The adapters' output is scaled by lora_alpha / r."""
    lora_dropout: float = 0.05
    """Dropout probability in [0, 1) on the adapters' input."""
    target_modules: list[str] | None = None
    """Names of the Linear or Conv1D modules to adapt, whole or their last parts; `[all-linear]`: all of
    the base model. None: query and value projections, by architecture."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        problems = []
        if self.r < 1:
            problems.append(Problem("peft.r", f"{self.r} is not at least 1", "peft.r=8"))
        if self.lora_alpha <= 0:
            message = f"{self.lora_alpha} is not above 0"
            problems.append(Problem("peft.lora_alpha", message, "peft.lora_alpha=16"))
        if not 0 <= self.lora_dropout < 1:
            message = f"{self.lora_dropout} is not in [0, 1)"
            problems.append(Problem("peft.lora_dropout", message, "peft.lora_dropout=0.05"))
        if self.target_modules is not None and not self.target_modules:
            problems.append(Problem(KEY, "the list is empty", f"{KEY}=null takes the architecture's default"))
        if ALL_LINEAR in (self.target_modules or ()) and len(self.target_modules or ()) > 1:
            problems.append(Problem(KEY, f"{ALL_LINEAR} stands alone", f"{KEY}=[{ALL_LINEAR}]"))
        return problems


@register("peft", LoraConfig)
def build(config: LoraConfig, model: nn.Module, *, seed: int, tokenizer: Any = None) -> PeftResult:
    """Adds float32 adapters to `model` in place; on a meta device they are meta too.

    Args:
        config: rank, scale, dropout and targets.
        model: a transformers model with a head. The head is never adapted, it trains as a whole.
        seed: of the adapters' random halves; torch's global generator is left untouched.

    Raises:
        ConfigError: a target that is no Linear or Conv1D of the base model, or an architecture
            without a default.
    """
    import torch

    targets, source = _targets(config, model)
    before = {id(parameter) for parameter in model.parameters()}
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the GPUs, which fork_rng does not restore here.
        torch.random.default_generator.manual_seed(seed)
        described = _inject(config, model, targets)
    added = {name: p for name, p in model.named_parameters() if id(p) not in before}
    for parameter in added.values():
        # inject_adapter_in_model, unlike get_peft_model, leaves them in the base's precision.
        parameter.data = parameter.data.float()
    leaves = ", ".join(sorted({target.rpartition(".")[2] for target in targets}))
    line = (
        f"lora: r={config.r} on {len(targets)} modules ({leaves}, {source}), "
        f"{sum(p.numel() for p in added.values()):,} adapter parameters; the base is frozen, the head trains"
    )
    return PeftResult(model, frozenset(added), (line,), peft_config=described)


def _inject(config: LoraConfig, model: nn.Module, targets: Sequence[str]) -> Any:
    """Returns peft's own config of what was injected."""
    import peft
    from transformers.pytorch_utils import Conv1D

    peft_config = peft.LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(targets),
        task_type=peft.TaskType.SEQ_CLS,
        # Conv1D stores its weight as (in, out); peft warns and corrects itself if not told.
        fan_in_fan_out=any(isinstance(model.get_submodule(target), Conv1D) for target in targets),
    )
    peft.inject_adapter_in_model(peft_config, model)
    return peft_config


def _targets(config: LoraConfig, model: nn.Module) -> tuple[list[str], str]:
    """Returns the full names of the modules to adapt, and whose choice they are."""
    available = _linear_modules(model)
    model_type = str(getattr(getattr(model, "config", None), "model_type", ""))
    if config.target_modules == [ALL_LINEAR]:
        return available, "all linear modules of the base"
    if config.target_modules is not None:
        problems = [_no_hit(t, available) for t in config.target_modules if not _matching(t, available)]
        if problems:
            raise ConfigError(*problems)
        wanted, source = config.target_modules, "as configured"
    else:
        wanted, source = _default_targets(model_type)
    targets = [name for name in available if any(_matching(t, [name]) for t in wanted)]
    if not targets:
        message = f"there is no default for {model_type or type(model).__name__} models"
        if wanted:
            message = f"the {source}, {', '.join(wanted)}, is in no module of this model"
        raise ConfigError(Problem(KEY, message, _choices(available)))
    return targets, source


def _default_targets(model_type: str) -> tuple[list[str], str]:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFTS

    if model_type in PEFTS:
        found = PEFTS[model_type]
        return ([found] if isinstance(found, str) else list(found)), f"peft's default for {model_type}"
    return list(OUR_TARGETS.get(model_type, ())), f"ftcli's default for {model_type}"


def _linear_modules(model: nn.Module) -> list[str]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    base = base_prefix(model) + "."
    return [
        name
        for name, module in model.named_modules()
        if name.startswith(base) and isinstance(module, (nn.Linear, Conv1D))
    ]


def _matching(target: str, names: Sequence[str]) -> list[str]:
    """Matches as peft does: the whole name or its last parts; its own defaults may be regexes."""
    if re.fullmatch(r"[\w.]+", target):
        return [name for name in names if name == target or name.endswith("." + target)]
    return [name for name in names if re.fullmatch(target, name)]


def _no_hit(target: str, available: Sequence[str]) -> Problem:
    near = nearest(target, {name.rpartition(".")[2] for name in available})
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    message = f"{target!r} is no Linear or Conv1D module of the base model; the head trains as a whole anyway"
    return Problem(KEY, message, guess + _choices(available))


def _choices(available: Sequence[str]) -> str:
    leaves = sorted({name.rpartition(".")[2] for name in available})
    return f"modules that exist: {', '.join(leaves)}, or {KEY}=[{ALL_LINEAR}]"
