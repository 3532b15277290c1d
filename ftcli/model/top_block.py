"""The top block of an encoder, computed only for the token that the head reads.

A classifier reads one place of the last block, the first token. There the block needs keys and values of every token, but
queries, feed-forward part and their gradients of that one: of MiniLM's six blocks most of the sixth falls away, forward and
backward. Nothing is approximated; what differs is the order of some sums, and which elements dropout takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ftcli.model.dropout import mask as dropout_mask

UNLIKE = 1e3
"""Stands in the trial wherever nothing was computed."""

TOLERANCE = 1e-4


class FirstToken(nn.Module):
    """Mixed into a block's class: in train mode its forward computes the first token, and gives the others a filler."""

    always, filler = False, 0.0

    def first(self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
        """Returns the block's output for the first token, (batch, 1, width); its class's way of `WAYS`."""
        raise NotImplementedError

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if not (self.training or self.always):
            return super().forward(hidden_states, attention_mask, *args, **kwargs)
        first = self.first(hidden_states, attention_mask)
        return nn.functional.pad(first, (0, 0, 0, hidden_states.shape[1] - 1), value=self.filler)


def only_first_token(model: nn.Module, block: str, task: Any, batch: dict[str, torch.Tensor]) -> bool:
    """Lets the top block compute the first token alone in train mode, if a trial shows that nothing else is read.

    In the trial, in eval mode, the other tokens hold values no model gives: predictions and loss must stay the same.

    Args:
        model: its modes are left at eval.
        block: name of its last block.
        task: of the run.
        batch: a few labelled rows.

    Returns:
        Whether it does; False too for an architecture that is not among `WAYS`.
    """
    top, way = model.get_submodule(block), WAYS.get(getattr(model.config, "model_type", ""))
    if way is None or not _as_it_was_written(top, way):
        return False
    model.eval()
    given: list[Any] = []
    look = top.register_forward_pre_hook(
        lambda _, args, kwargs: given.append(kwargs.get("past_key_values")), with_kwargs=True
    )
    with torch.no_grad():
        expected = task.compute_loss(model, batch, train=False)
        look.remove()
        if given != [None]:
            # Prefix tuning hands keys and values of its own to the attention.
            return False
        own = type(top)
        # The same name: what is looked up by the names of classes is still found.
        top.__class__ = type(own.__name__, (FirstToken, own), {"first": way[0]})
        top.always, top.filler = True, UNLIKE  # type: ignore[assignment]
        found = task.compute_loss(model, batch, train=False)
    del top.always, top.filler
    pairs = zip(task.records(expected, batch), task.records(found, batch), strict=True)
    same = bool(torch.isclose(expected.loss_sum, found.loss_sum, rtol=TOLERANCE, atol=TOLERANCE))
    if not same or not all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in pairs):
        top.__class__ = own
        return False
    return True


def _as_it_was_written(block: nn.Module, way: tuple[Any, tuple[str, ...], tuple[str, ...]]) -> bool:
    """Says whether the block has the modules a way calls, and no hooks on those it goes around."""
    own = dict(block.named_modules())
    around = [own[name] for name in way[2] if name in own]
    hooked = any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in around)
    return not hooked and all(name in own for name in way[1])


def _bert(block: Any, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    first, own = states[:, :1], block.attention.self
    attended = _attend(own.query(first), own.key(states), own.value(states), mask, own, own.dropout.p)
    return block.feed_forward_chunk(block.attention.output(attended, first))


def _distilbert(block: Any, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    first, own = states[:, :1], block.attention
    attended = _attend(own.q_lin(first), own.k_lin(states), own.v_lin(states), mask, own, own.dropout.p)
    attended = block.sa_layer_norm(own.out_lin(attended) + first)
    return block.output_layer_norm(block.ffn(attended) + attended)


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
    """Scaled dot-product attention (Vaswani et al., 2017) of one query a row.

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
    scores = torch.matmul(queries, keys.transpose(2, 3)) * attention.scaling
    if mask is not None:
        row = mask[:, :, :1]
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~row, lowest) if row.dtype == torch.bool else scores + row
    shares = scores.softmax(-1)
    if attention.training and dropout:
        shares = shares * dropout_mask(shares, dropout)
    return torch.matmul(shares, values).transpose(1, 2).flatten(2)


_BERT = (_bert, ("attention.self.query", "attention.self.key", "attention.self.value", "attention.self.dropout",
                 "attention.output", "intermediate", "output"), ("attention", "attention.self"))  # fmt: skip
WAYS: dict[str, tuple[Any, tuple[str, ...], tuple[str, ...]]] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": (
        _distilbert,
        ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm", "ffn",
         "output_layer_norm"),
        ("attention",),
    ),
    "vit": (
        _vit,
        ("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "layernorm_before",
         "layernorm_after", "mlp", "dropout"),
        ("attention",),
    ),
}  # fmt: skip
"""Architecture -> (its forward of the first token, modules that calls, modules it goes around)."""
