"""The top block of an encoder, computed only for the token that the head reads.

A classifier reads the last block's output at one position, the first token. For that position the block needs keys
and values of every token, but queries, feed-forward part and their gradients of the first token only. Of MiniLM's six
blocks most of the sixth is left out, forward and backward. Nothing is approximated: what differs is the order of some
sums, and which elements dropout drops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ftcli.model.dropout import mask as dropout_mask

if TYPE_CHECKING:
    from ftcli.batching.protocols import Batch, TrainingTask

FILLER = 1e3
"""In the trial the other tokens are filled with values from minus this to this, far from what a block outputs."""


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """How an architecture's block computes its first token, and which of its modules take part."""

    compute: Callable[[Any, torch.Tensor, torch.Tensor | None], torch.Tensor]
    """(block, hidden states (batch, seq_len, width), attention mask) -> (batch, 1, width)"""
    called: tuple[str, ...]
    """Modules of the block that `compute` calls or reads."""
    bypassed: tuple[str, ...]
    """Modules whose own forward is not called any more, so no hook may be registered on them."""


class FirstToken(nn.Module):
    """Mixed into a block's class: in train mode its forward computes the first token and returns zeros for the others."""

    layout: BlockLayout
    trial = False
    """Whether the trial is running: eval mode too takes the short path, and the other tokens are filler."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Returns the block's output, (batch, seq_len, width), in train mode right at the first token only.

        Args:
            hidden_states: (batch, seq_len, width).
            attention_mask: (batch or 1, 1, seq_len or 1, seq_len), as `_attend` takes it.
            args: of the block's own forward, which eval mode calls.
            kwargs: of the block's own forward.
        """
        if not (self.training or self.trial):
            return super().forward(hidden_states, attention_mask, *args, **kwargs)
        first = self.layout.compute(self, hidden_states, attention_mask)
        others, width = hidden_states.shape[1] - 1, first.shape[-1]
        padded = nn.functional.pad(first, (0, 0, 0, others))
        if self.trial:
            padded[:, 1:] = torch.linspace(-FILLER, FILLER, others * width).view(others, width)
        return padded


def narrow(model: nn.Module, block: str, task: TrainingTask, batch: Batch) -> bool:
    """Lets the top block compute the first token alone in train mode, if a trial shows that nothing else is read.

    In the trial, in eval mode, the other tokens are filled with values that no block outputs: the logits must stay
    the same. This asks the model itself, so no list of heads that read the first token has to be kept.

    Args:
        model: the trial leaves it in eval mode.
        block: name of its last block.
        task: of the run.
        batch: a few labelled rows, as (batch, seq_len) inputs and their labels.

    Returns:
        Whether it does. False too for an architecture that is not in `LAYOUTS`, and for a decoder.
    """
    top = model.get_submodule(block)
    layout = _layout_of(model, top)
    if layout is None:
        return False
    model.eval()
    with torch.no_grad():
        expected = _expected_logits(model, top, task, batch)
        return expected is not None and _replace_forward(model, top, layout, task, batch, expected)


def _layout_of(model: nn.Module, top: nn.Module) -> BlockLayout | None:
    """Returns the layout of the block; None for a decoder, an unknown architecture, or a block that was changed."""
    config = model.config
    layout = LAYOUTS.get(getattr(config, "model_type", ""))
    if layout is None or getattr(config, "is_decoder", False) or not _fits(top, layout):
        return None
    return layout


def _expected_logits(
    model: nn.Module, top: nn.Module, task: TrainingTask, batch: Batch
) -> torch.Tensor | None:
    """Returns the logits with the whole block, (batch, num_labels) or the task's shape.

    None where prefix tuning passes keys and values of its own to the attention, or the block does not run once.
    """
    past: list[Any] = []
    hook = top.register_forward_pre_hook(
        lambda _, args, kwargs: past.append(kwargs.get("past_key_values")), with_kwargs=True
    )
    try:
        logits = task.compute_loss(model, batch, train=False).logits
    finally:
        hook.remove()
    return logits if past == [None] else None


def _replace_forward(
    model: nn.Module,
    top: nn.Module,
    layout: BlockLayout,
    task: TrainingTask,
    batch: Batch,
    expected: torch.Tensor,
) -> bool:
    """Changes the block's class, and changes it back where the logits do not stay those `expected`.

    Args:
        model: in eval mode.
        top: its last block.
        layout: of the block.
        task: of the run.
        batch: the rows of the trial.
        expected: logits of the whole block, of the task's shape.
    """
    own, same = type(top), False
    # The class keeps its name: transformers looks up some behaviour by the names of classes.
    top.__class__ = type(own.__name__, (FirstToken, own), {"layout": layout, "trial": True})
    try:
        found = task.compute_loss(model, batch, train=False).logits
        # Sums in another order differ by rounding: more under half-precision weights.
        tolerance = 2e-2 if next(model.parameters()).dtype.itemsize < 4 else 1e-4
        same = torch.allclose(expected, found, rtol=tolerance, atol=tolerance)
    finally:
        top.__class__ = type(own.__name__, (FirstToken, own), {"layout": layout}) if same else own
    return same


def _fits(block: nn.Module, layout: BlockLayout) -> bool:
    """Says whether the block has the modules that the layout calls, and no hook on those it bypasses."""
    own = dict(block.named_modules())
    bypassed = [block, *(own[name] for name in layout.bypassed if name in own)]
    hooked = any("forward" in m.__dict__ for m in bypassed) or any(
        m._forward_hooks or m._forward_pre_hooks for m in bypassed[1:]
    )
    return not hooked and all(name in own for name in layout.called)


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
    """Scaled dot-product attention (Vaswani et al., 2017) of one query for each row; scores and softmax at least in fp32.

    Args:
        queries: (batch, 1, width).
        keys: (batch, seq_len, width).
        values: (batch, seq_len, width).
        mask: (batch or 1, 1, seq_len or 1, seq_len): added to the scores, or True where a
            token is attended to; None: all are.
        attention: the module, read for its `scaling` and its mode.
        dropout: probability that a share is dropped.

    Returns:
        (batch, 1, width)
    """
    size = round(attention.scaling**-2)  # of a head: scaling is 1 / sqrt(head size)
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


_BERT = BlockLayout(
    _bert,
    called=("attention.self.query", "attention.self.key", "attention.self.value", "attention.self.dropout", "attention.output",
           "intermediate", "output"),
    bypassed=("attention", "attention.self"),
)  # fmt: skip
LAYOUTS = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": BlockLayout(
        _distilbert,
        called=("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm", "ffn.lin1",
               "output_layer_norm"),
        bypassed=("attention", "ffn"),
    ),
    "vit": BlockLayout(
        _vit,
        called=("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "layernorm_before",
               "layernorm_after", "mlp", "dropout"),
        bypassed=("attention",),
    ),
}  # fmt: skip
"""model_type of a config -> the layout of its blocks."""
