"""Bottleneck adapters (Houlsby et al., 2019, arXiv:1902.00751; Pfeiffer et al., 2020, arXiv:2005.00247).

Implemented here: the peft library has none, and the `adapters` package (1.3.0) requires transformers 4.57.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ftcli.batching.head import of_head
from ftcli.config.registry import register
from ftcli.config.schema import PeftConfig
from ftcli.errors import ConfigError, Problem
from ftcli.peft._targets import MAX_WIDTH
from ftcli.plan.adapters import PeftResult
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.units import HEAD, base_prefix

if TYPE_CHECKING:
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.batching.protocols import Tokenizer

_BERT = ("attention.output.dropout", "output.dropout")
_LLAMA = ("self_attn.o_proj", "mlp.down_proj")
SUBLAYERS: Mapping[str, tuple[str, str]] = {
    "albert": ("attention.output_dropout", "ffn_output"),
    "bert": _BERT,
    "camembert": _BERT,
    "deberta": _BERT,
    "deberta-v2": _BERT,
    "distilbert": ("attention.out_lin", "ffn.dropout"),
    "electra": _BERT,
    "ernie": _BERT,
    "gpt2": ("attn.resid_dropout", "mlp.dropout"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "modernbert": ("attn.out_drop", "mlp.Wo"),
    "mpnet": ("attention.dropout", "output.dropout"),
    "opt": ("self_attn.out_proj", "fc2"),
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "roberta": _BERT,
    "vit": ("attention.o_proj", "mlp.fc2"),
    "xlm-roberta": _BERT,
}
"""`model_type` -> the modules of a block whose outputs the residual is added to: of attention, of the feed-forward."""
NAMES = ("attention_adapter", "output_adapter")
"""What the adapters of a block are called."""


class Placement(Enum):
    houlsby = "houlsby"
    pfeiffer = "pfeiffer"


class NonLinearity(Enum):
    gelu = "gelu"
    relu = "relu"
    silu = "silu"
    tanh = "tanh"


@dataclass(kw_only=True, slots=True)
class BottleneckConfig(PeftConfig):
    placement: Placement = Placement.pfeiffer
    """houlsby: after attention and after the feed-forward; pfeiffer: after the feed-forward alone."""
    reduction_factor: float | None = 16.0
    """The model's width divided by the adapter's, above 1 as a rule. None: bottleneck_size says it."""
    bottleneck_size: int | None = None
    """Width of the adapter, from 1 to 65,536. None: by reduction_factor."""
    non_linearity: NonLinearity = NonLinearity.relu
    """Between the two projections."""
    train_norms: bool = False
    """Whether the base's normalisation layers train too, as Houlsby et al. did."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        factor, size = self.reduction_factor, self.bottleneck_size
        key = "peft.bottleneck_size"
        if (factor is None) == (size is None):
            message = (
                f"got {size} beside reduction_factor={factor}: one of the two says how wide adapters are"
            )
            return [Problem(key, message, f"type {key}=64 peft.reduction_factor=null, or {key}=null peft.reduction_factor=16")]  # fmt: skip
        if size is not None and not 1 <= size <= MAX_WIDTH:
            return [Problem(key, f"{size} is not a whole number from 1 to {MAX_WIDTH:,}", f"{key}=64")]
        if factor is not None and factor <= 0:
            return [Problem("peft.reduction_factor", f"{factor} is not above 0", "peft.reduction_factor=16")]
        return []


def _width(width: int, reduction_factor: float) -> int:
    """Returns the adapter's width for a model's.

    Raises:
        ConfigError: it is absurd.
    """
    found = width / reduction_factor
    if found > MAX_WIDTH:
        key = "peft.reduction_factor"
        message = f"{reduction_factor:g} makes adapters of {found:g} out of the model's {width}"
        raise ConfigError(Problem(key, message, f"{key}=16"))
    return max(1, round(found))


@register("peft", BottleneckConfig)
def build(
    config: BottleneckConfig,
    model: nn.Module,
    *,
    seed: int,
    tokenizer: Tokenizer | None = None,
    head: Head | None = None,
) -> PeftResult:
    """Adds an adapter behind sublayers of every block of `model`, in place, before the residual is added.

    y = h + W_up f(W_down h), near the identity at first. Departs from Pfeiffer et al. where AdapterHub's
    configuration of that name also moves the block's norm: here the adapter reads the feed-forward's output.
    ALBERT's shared block has one adapter, used as often as the block.

    Args:
        config: place and width of the adapters.
        model: a transformers model with a head.
        seed: of the projections; torch's global generator is left untouched.
        tokenizer: not used.
        head: of the model; None: a new one.

    Raises:
        ConfigError: an architecture whose sublayers are not known.
    """
    import torch

    hf_config: Any = model.config
    kind = str(hf_config.model_type)
    if kind not in SUBLAYERS:
        hint = f"type peft=lora, or choose a model of {', '.join(SUBLAYERS)}"
        raise ConfigError(Problem("peft", f"where adapters go in {kind} models is not known", hint))
    width = int(hf_config.hidden_size)
    size = config.bottleneck_size or _width(width, config.reduction_factor or 1)
    wanted = zip(SUBLAYERS[kind], NAMES, strict=True)
    chosen = [pair for pair in wanted if config.placement is Placement.houlsby or pair[1] == NAMES[1]]
    before = {id(parameter) for parameter in model.parameters()}
    with torch.random.fork_rng(devices=[]), next(model.parameters()).device:
        # torch.manual_seed would also seed the GPUs, which fork_rng does not restore here.
        torch.random.default_generator.manual_seed(seed)
        count = sum(_add(model, path, name, width, size, config.non_linearity.value) for path, name in chosen)
    added = {name: p for name, p in model.named_parameters() if id(p) not in before}
    norms = _norms(model) if config.train_norms else frozenset()
    line = (
        f"bottleneck: {count} adapters of {width} -> {size} -> {width} ({config.placement.value}, "
        f"{config.non_linearity.value}), {sum(p.numel() for p in added.values()):,} parameters"
        f"{f' and {len(norms)} tensors of norms' if norms else ''}; the base is frozen otherwise, {of_head(head)}"
    )
    return PeftResult(model, frozenset(added) | norms, (line,))


def _add(model: nn.Module, path: str, name: str, width: int, size: int, non_linearity: str) -> int:
    """Adds an adapter to each block that has a certain module; returns how many.

    Args:
        model: a transformers model with a head.
        path: of the module inside the block, such as `attention.output.dropout`.
        name: of the adapter in the block.
        width: of the model.
        size: of the bottleneck.
        non_linearity: between the projections.
    """
    from ftcli.peft._adapter import Bottleneck

    pattern = re.compile(rf"(?P<block>{re.escape(base_prefix(model))}\..*\.\d+)\.{re.escape(path)}")
    places = [(found["block"], module) for place, module in model.named_modules() if (found := pattern.fullmatch(place))]  # fmt: skip
    assert places, f"{path} is in no block"
    for block, module in places:
        adapter = Bottleneck(width, size, non_linearity)
        model.get_submodule(block).add_module(name, adapter)
        # A bound method: a copy of the model takes its own adapter along.
        module.register_forward_hook(adapter.after)
    return len(places)


def _norms(model: nn.Module) -> frozenset[str]:
    return frozenset(t.name for t in read_anatomy(model).tensors if t.is_norm and t.unit != HEAD)
