"""Prefix tuning (Li and Liang, 2021, arXiv:2101.00190): learned keys and values before those of every layer."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from ftcli.config.registry import register
from ftcli.errors import Problem
from ftcli.peft._soft_prompt import (
    SoftPromptConfig,
    counted,
    describe,
    drawing,
    require_architecture,
    result,
    within,
)
from ftcli.plan.adapters import PeftResult
from ftcli.plan.units import base_prefix

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.batching.protocols import Tokenizer

PREFIXED = (
    "bert", "bloom", "camembert", "electra", "ernie", "gpt2", "gpt_neo", "gpt_neox", "llama", "opt", "qwen2",
    "qwen3", "roberta", "xlm-roberta",
)  # fmt: skip
"""`model_type`s whose attention reads given keys and values with the numbers of plain peft; the encoders among
the others (DistilBERT, DeBERTa, ALBERT, MPNet, ModernBERT) take none."""


class InitWeights(Enum):
    random = "random"
    zero = "zero"


@dataclass(kw_only=True, slots=True)
class PrefixTuningConfig(SoftPromptConfig):
    uncheckpointed: ClassVar[str] = (
        "layers that are computed again would see the prefix twice, and transformers drops it"
    )

    prefix_projection: bool = False
    """Whether the prefix comes out of two linear layers that train, as in the paper's training; all are saved."""
    encoder_hidden_size: int | None = None
    """Width of the projection. None: that of a layer's keys."""
    init_weights: InitWeights = InitWeights.random
    """random: peft's standard normal prefix (or projection's own draw); zero: a prefix of zeros."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before the model is known."""
        problems = SoftPromptConfig.problems(self)
        problems += within(self, "encoder_hidden_size", 512)
        if self.encoder_hidden_size is not None and not self.prefix_projection:
            key = "peft.encoder_hidden_size"
            message = "there is no projection whose width it could be"
            problems.append(Problem(key, message, f"type peft.prefix_projection=true, or {key}=null"))
        return problems


@register("peft", PrefixTuningConfig)
def build(
    config: PrefixTuningConfig,
    model: nn.Module,
    *,
    seed: int,
    tokenizer: Tokenizer | None = None,
    head: Head | None = None,
) -> PeftResult:
    """Gives every attention layer of `model` learned keys and values before its own, in place.

    Args:
        config: length of the prefix and its projection.
        model: a transformers model with a head.
        seed: of the prefix; torch's global generator is left untouched.
        tokenizer: not used.
        head: of the model; None: its outputs have no place for each token, and peft has no class for it.

    Raises:
        ConfigError: an architecture whose attention takes no keys and values from outside.
    """
    import peft

    why = "their attention is not known to read keys and values from outside"
    require_architecture(model, PREFIXED, "prefix tuning", why)
    heads, width = _attention(model.config)
    described = describe(
        peft.PrefixTuningConfig,
        model,
        head,
        num_virtual_tokens=config.num_virtual_tokens,
        token_dim=heads * width,
        num_attention_heads=heads,
        encoder_hidden_size=config.encoder_hidden_size or heads * width,
        prefix_projection=config.prefix_projection,
        init_weights="zero" if config.init_weights is InitWeights.zero else None,
    )
    with drawing(model, seed):
        encoder = peft.PrefixEncoder(described)
    Prefixed(model, encoder, described)
    how = f"projected, width {described.encoder_hidden_size}" if config.prefix_projection else "as they are"
    line = f"prefix tuning: {config.num_virtual_tokens} keys and values in each of {described.num_layers} layers, {how}, {counted(encoder, head)}"
    return result(model, encoder, described, [line])


def _attention(hf_config: Any) -> tuple[int, int]:
    """Returns (heads of keys and values, width of each); grouped-query attention has fewer of the former."""
    heads = hf_config.num_attention_heads
    groups = getattr(hf_config, "num_key_value_heads", None) or heads
    return groups, getattr(hf_config, "head_dim", None) or hf_config.hidden_size // heads


class Prefixed:
    """A hook that hands the base model its prefix as `past_key_values`; the head sees the row alone.

    As in peft, the base is given a mask that is longer by the prefix, and counts positions from behind it.
    """

    def __init__(self, model: Any, encoder: nn.Module, described: Any) -> None:
        self.encoder, self.sizes = encoder, described
        base = model.get_submodule(base_prefix(model))
        self.names = list(inspect.signature(base.forward).parameters)
        # A bound method: a copy of the model takes its own encoder along.
        base.register_forward_pre_hook(self.prepend, with_kwargs=True)

    def prepend(
        self, base: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Adds the prefix and widens the mask, (batch, seq_len) -> (batch, num_virtual_tokens + seq_len)."""
        import torch

        kwargs = dict(zip(self.names, args, strict=False)) | kwargs
        rows = kwargs["input_ids"]
        kwargs["past_key_values"] = self.cache(len(rows), rows.device, next(base.parameters()).dtype)
        mask = kwargs.get("attention_mask")
        if mask is not None:
            more = mask.new_ones((len(mask), self.sizes.num_virtual_tokens))
            kwargs["attention_mask"] = torch.cat([more, mask], 1)
        return (), kwargs

    def cache(self, rows: int, device: torch.device, dtype: torch.dtype) -> Any:
        """Returns a fresh cache, as attention writes into it: (rows, heads, num_virtual_tokens, width) a layer."""
        import torch
        from transformers import DynamicCache

        sizes = self.sizes
        count, heads = sizes.num_virtual_tokens, sizes.num_attention_heads
        flat = self.encoder(torch.arange(count, device=device)[None]).to(dtype)
        split = flat.view(count, sizes.num_layers, 2, heads, sizes.token_dim // heads).permute(1, 2, 3, 0, 4)
        pairs = split[:, :, None].expand(-1, -1, rows, -1, -1, -1)
        return DynamicCache([(keys, values) for keys, values in pairs])
