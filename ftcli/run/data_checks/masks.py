"""Proofs on the real model: padding changes nothing, nothing is learned from it, a causal model sees no later token.

Each is a perturbation: the same rows are computed in two ways that must give the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ftcli.batching.eval_mode import undisturbed
from ftcli.batching.head import is_causal
from ftcli.run.data_checks.findings import Finding, Level
from ftcli.trainer.forward import Forward

if TYPE_CHECKING:
    from ftcli.batching.protocols import PredictingTask
    from ftcli.batching.token_table import TokenTable

TOLERANCE = 1e-4
"""Of fp32 outputs, relative to their size; kernels differ by a few 1e-6."""
ROUNDED = 0.01
"""A sum in fp32 loses the last digits of its larger part: at TOLERANCE, this share of it may hide in the smaller one."""
ROWS = 4
LONGEST = 128
"""Rows are taken from those of at most so many tokens, where there are such, so that the proof is quick."""


def prove_masks(
    model: Any, task: PredictingTask, table: TokenTable, *, pad_id: int, padding_side: str
) -> list[Finding]:
    """Returns what the proofs say, on a few rows of different lengths.

    Args:
        model: with its weights, on any device; left in the modes it came in.
        task: collates and runs it.
        table: rows of the training part.
        pad_id: fills rows up.
        padding_side: `right` or `left`.
    """
    rows = sample(table)
    # In fp32 whatever the run's precision: what half precision rounds would hide what is looked for.
    forward = Forward(
        task=task,
        pad_id=pad_id,
        padding_side=padding_side,
        device=str(next(model.parameters()).device),
        precision="fp32",
    )
    if (weights := finite_weights(model)) is not None:
        return [weights]
    with undisturbed(model):
        found = [_padding(model, forward, table, rows), _learned(model, forward, table, rows)]
        causal = _causal(model, forward, table, rows[-1:])
    return [finding for finding in (*found, causal) if finding is not None]


def finite_weights(model: Any) -> Finding | None:
    """Returns an error where a weight is NaN or infinite: whatever is computed with it says nothing."""
    broken = [name for name, weight in model.named_parameters() if not bool(weight.detach().isfinite().all())]
    if not broken:
        return None
    text = f"{len(broken)} tensors of the model hold NaN or infinite numbers, such as {broken[0]}"
    return Finding(
        "weights", Level.error, text, "download the model again, or choose another checkpoint of it"
    )


def sample(table: TokenTable) -> np.ndarray:
    """Returns up to ROWS row numbers, (num_sampled,) int64, from the shortest row to the longest that is still quick."""
    order = np.argsort(table.lengths, kind="stable")
    quick = order[table.lengths[order] <= LONGEST]
    order = quick if len(quick) >= 2 else order[:ROWS]
    rows: np.ndarray = order[np.unique(np.linspace(0, len(order) - 1, ROWS).astype(int))]
    return rows


def _padding(model: Any, forward: Forward, table: TokenTable, rows: np.ndarray) -> Finding | None:
    """The loss of each row alone, and beside the longest one, to which it is padded."""
    if table.labels is None or len(rows) < 2:
        return None

    def loss(*numbers: int) -> float:
        """Returns the loss of some rows in one batch, a sum."""
        batch = forward.collate(table, np.array(numbers))
        return float(forward.loss(model, batch, train=False).loss_sum)

    with torch.no_grad():
        longest = int(rows[-1])
        single = {int(row): loss(int(row)) for row in rows}
        gaps = [
            # Relative to the numbers that are added: a squared error may be large, and is rounded at its own size.
            abs(loss(row, longest) - single[longest] - single[row])
            / max(1.0, abs(single[row]), abs(single[longest]) * ROUNDED)
            for row in single
            if row != longest
        ]
    worst = max(gap if math.isfinite(gap) else math.inf for gap in gaps)
    if worst <= TOLERANCE:
        text = f"a row scores alone as in a padded batch: its loss differs by {worst:.1e} at most, over {len(rows)} rows"
        return Finding("padding", Level.fact, text)
    hint = "the attention mask or the padding side does not suit this model: try model.attention=eager"
    return Finding("padding", Level.error, f"padding changes the loss of a row by {worst:.1e}", hint)


def _learned(model: Any, forward: Forward, table: TokenTable, rows: np.ndarray) -> Finding | None:
    """The gradient of the loss at the embeddings of PAD positions must be zero."""
    batch = forward.collate(table, rows)
    mask = batch.get("attention_mask")
    if mask is None or "labels" not in batch:  # images have no padding
        return None
    embeddings = model.get_input_embeddings()
    seen: list[torch.Tensor] = []

    def keep(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        """Takes the embeddings, (num_sequences, seq_len, dim), as the leaf that gradients are computed for."""
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    hook = embeddings.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            loss = forward.loss(model, batch, train=False).loss_sum
            gradients = torch.autograd.grad(loss, seen, allow_unused=True) if seen else (None,)
    finally:
        hook.remove()
    # Encoder-decoders read the same embeddings twice, the second time shifted: only the first has this mask.
    gradient = gradients[0]
    if gradient is not None:
        # A soft prompt stands before the row and is learned from; only the row has padding.
        gradient = gradient[:, getattr(model, "num_virtual_tokens", 0) :]
    if gradient is None or gradient.shape[:2] != mask.shape:
        return None
    at_pad = gradient[mask == 0].abs().max().item() if bool((mask == 0).any()) else 0.0
    size = gradient.abs().max().item()
    if at_pad <= TOLERANCE * max(size, 1e-12):
        return Finding(
            "pad",
            Level.fact,
            f"nothing is learned from PAD: gradient {at_pad:.1e} there, up to {size:.1e} elsewhere",
        )
    text = f"the loss is learned from padding: gradient {at_pad:.1e} at PAD positions, {size:.1e} elsewhere"
    return Finding("pad", Level.error, text, "use the model's own tokenizer: tokenizer=auto")


def _causal(model: Any, forward: Forward, table: TokenTable, rows: np.ndarray) -> Finding | None:
    """Changes the last token of a row: earlier states stay as they are in a causal model, and change in any other."""
    base = getattr(model, getattr(model, "base_model_prefix", "") or "_", None)
    if base is None or model.config.is_encoder_decoder:
        return None
    batch = forward.collate(table, rows)
    if "input_ids" not in batch:
        return None
    ids, mask = batch["input_ids"][:1].clone(), batch["attention_mask"][:1]
    last = int(mask[0].nonzero()[-1])
    if last == 0:
        return None
    changed = ids.clone()
    changed[0, last] = (ids[0, last] + 1) % model.config.get_text_config().vocab_size
    with torch.no_grad():
        states = [base(input_ids=i, attention_mask=mask).last_hidden_state[0, :last] for i in (ids, changed)]
    moved = float((states[0] - states[1]).abs().max() / states[0].abs().max().clamp(min=1))
    if is_causal(model.config):
        text = f"causal: a later token changes no earlier state ({moved:.1e})"
        if moved <= TOLERANCE:
            return Finding("causal-mask", Level.fact, text)
        hint = "its attention is not causal: try model.attention=eager"
        return Finding(
            "causal-mask", Level.error, f"a later token changes earlier states by {moved:.1e}", hint
        )
    return Finding(
        "attention", Level.fact, f"bidirectional: a later token changes earlier states ({moved:.1e})"
    )
