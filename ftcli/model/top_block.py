"""The top block of an encoder, computed only for the token that the head reads.

A classifier reads one place of the last block, the first token. There the block needs keys and values of every token, but
queries, feed-forward part and their gradients of that one: of MiniLM's six blocks most of the sixth falls away, forward and
backward. Nothing is approximated; what differs is the order of some sums, and which elements dropout takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ftcli.model.dropout import mask as dropout_mask

UNLIKE = 1e3
"""In the trial the other tokens hold values from minus this to this."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an architecture's block computes its first token."""

    first: Callable[[Any, torch.Tensor, torch.Tensor | None], torch.Tensor]
    """(block, hidden states, attention mask) -> (batch, 1, width)"""
    calls: tuple[str, ...]
    """Modules of the block that it needs."""
    around: tuple[str, ...]
    """Modules whose forward it replaces: no hook may hang there."""


class FirstToken(nn.Module):
    """Mixed into a block's class: in train mode its forward computes the first token, and gives zeros for the others."""

    way: Way
    trial = False

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if not (self.training or self.trial):
            return super().forward(hidden_states, attention_mask, *args, **kwargs)
        first = self.way.first(self, hidden_states, attention_mask)
        others, width = hidden_states.shape[1] - 1, first.shape[-1]
        padded = nn.functional.pad(first, (0, 0, 0, others))
        if self.trial:
            padded[:, 1:] = torch.linspace(-UNLIKE, UNLIKE, others * width).view(others, width)
        return padded


def narrow(model: nn.Module, block: str, task: Any, batch: dict[str, torch.Tensor]) -> bool:
    """Lets the top block compute the first token alone in train mode, if a trial shows that nothing else is read.

    In the trial, in eval mode, the other tokens hold values no model gives: the logits must stay the same.

    Args:
        model: the trial leaves it in eval mode.
        block: name of its last block.
        task: of the run.
        batch: a few labelled rows.

    Returns:
        Whether it does; False too for an architecture that is not among `WAYS`, and for a decoder.
    """
    top, config = model.get_submodule(block), model.config
    way = WAYS.get(getattr(config, "model_type", ""))
    if way is None or getattr(config, "is_decoder", False) or not _fits(top, way):
        return False
    model.eval()
    given: list[Any] = []
    look = top.register_forward_pre_hook(
        lambda _, args, kwargs: given.append(kwargs.get("past_key_values")), with_kwargs=True
    )
    own, same = type(top), False
    with torch.no_grad():
        try:
            expected = task.compute_loss(model, batch, train=False).logits
        finally:
            look.remove()
        if given != [None]:
            # Prefix tuning hands keys and values of its own to the attention.
            return False
        # The same name: what is looked up by the names of classes is still found.
        top.__class__ = type(own.__name__, (FirstToken, own), {"way": way, "trial": True})
        try:
            found = task.compute_loss(model, batch, train=False).logits
            tolerance = 2e-2 if next(model.parameters()).dtype.itemsize < 4 else 1e-4
            same = torch.allclose(expected, found, rtol=tolerance, atol=tolerance)
        finally:
            top.__class__ = type(own.__name__, (FirstToken, own), {"way": way}) if same else own
    return same


def _fits(block: nn.Module, way: Way) -> bool:
    """Says whether the block has the modules a way calls, and no hook on those it goes around."""
    own = dict(block.named_modules())
    around = [block, *(own[name] for name in way.around if name in own)]
    hooked = any("forward" in m.__dict__ for m in around) or any(
        m._forward_hooks or m._forward_pre_hooks for m in around[1:]
    )
    return not hooked and all(name in own for name in way.calls)


def _bert(block: Any, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    first, own = states[:, :1], block.attention.self
    attended = _attend(own.query(first), own.key(states), own.value(states), mask, own, own.dropout.p)
    return block.feed_forward_chunk(block.attention.output(attended, first))


def _distilbert(block: Any, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    first, own = states[:, :1], block.attention
    attended = _attend(own.q_lin(first), own.k_lin(states), own.v_lin(states), mask, own, own.dropout.p)
    attended = block.sa_layer_norm(own.out_lin(attended) + first)
    return block.output_layer_norm(block.ffn.ff_chunk(attended) + attended)


def _vit(block: Any, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    own, normed = block.attention, block.layernorm_before(states)
    queries, keys, values = own.q_proj(normed[:, :1]), own.k_proj(normed), own.v_proj(normed)
    attended = own.o_proj(_attend(queries, keys, values, mask, own, own.attention_dropout))
    attended = block.dropout(attended) + states[:, :1]
    return block.dropout(block.mlp(block.layernorm_after(attended))) + attended


def _attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    attention: Any,
    dropout: float,
) -> torch.Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017) of one query a row; scores and softmax at least in fp32.

    Args:
        queries: (batch, 1, width).
        keys: (batch, seq_len, width).
        values: (batch, seq_len, width).
        mask: (batch or 1, 1, seq_len or 1, seq_len): added, or True where a token is seen; None: all are.
        attention: the module; its `scaling` and mode.
        dropout: probability.

    Returns:
        (batch, 1, width)
    """
    size = round(attention.scaling**-2)
    queries, keys, values = (
        tensor.view(*tensor.shape[:2], -1, size).transpose(1, 2) for tensor in (queries, keys, values)
    )
    with torch.autocast(queries.device.type, enabled=False):
        precise = torch.promote_types(queries.dtype, torch.float32)
        scores = torch.matmul(queries.to(precise), keys.to(precise).transpose(2, 3)) * attention.scaling
        if mask is not None:
            row = mask[:, :, :1]
            lowest = torch.finfo(precise).min
            scores = scores.masked_fill(~row, lowest) if row.dtype == torch.bool else scores + row
        shares = scores.softmax(-1).to(values.dtype)
        if attention.training and dropout:
            shares = shares * dropout_mask(shares, dropout)
        return torch.matmul(shares, values).transpose(1, 2).flatten(2)


_BERT = Way(
    _bert,
    calls=("attention.self.query", "attention.self.key", "attention.self.value", "attention.self.dropout", "attention.output",
           "intermediate", "output"),
    around=("attention", "attention.self"),
)  # fmt: skip
WAYS = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": Way(
        _distilbert,
        calls=("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm", "ffn.lin1",
               "output_layer_norm"),
        around=("attention", "ffn"),
    ),
    "vit": Way(
        _vit,
        calls=("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "layernorm_before",
               "layernorm_after", "mlp", "dropout"),
        around=("attention",),
    ),
}  # fmt: skip
"""Architecture -> the way of its blocks."""
