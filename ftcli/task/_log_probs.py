"""The loss of a language model from hidden states, a chunk of positions at a time.

The matrix of all logits, positions x vocabulary, is the largest tensor of a training step of a small model: 8,192 positions of
49,152 tokens are 1.6 GB in fp32, and their gradient as much again. Here a chunk's logits become its loss and its gradients at once,
in the forward pass, and are given up; the backward pass multiplies what was kept by the gradient from above (as in Liger kernel's fused
linear cross entropy, Hsu et al., 2024, arXiv:2410.10989). Sums, softmax and the gradient of the projection are in fp32 at least.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from ftcli.batching.output import LOG_P, TOP

CHUNK_BYTES = 64 * 2**20
"""Most bytes of the logits of one chunk."""
HALF = (torch.bfloat16, torch.float16)


def loss_and_scores(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the sum of cross entropies of some positions, and what is kept of each.

    Args:
        states: (num_targets, dim) what the output projection reads at the positions that predict.
        weight: (vocab_size, dim) of the projection.
        bias: (vocab_size,) of the projection, if it has one.
        targets: (num_targets,) int64, the right token of each position.

    Returns:
        loss: () fp32, a sum; its graph leads to states, weight and bias.
        scores: (num_targets, 2) fp32, detached, columns LOG_P and TOP.
    """
    found: tuple[torch.Tensor, torch.Tensor] = _ChunkedLoss.apply(
        states, weight, bias, targets, torch.is_grad_enabled()
    )  # type: ignore[no-untyped-call]
    return found


def scores_of_logits(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns what `loss_and_scores` returns, from logits that a model gave whole.

    Args:
        logits: (num_targets, vocab_size) at the positions that predict.
        targets: (num_targets,) int64.
    """
    logits = logits.float()
    log_p = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    own = logits.detach().gather(1, targets[:, None])[:, 0]
    top = (own >= logits.detach().amax(-1)).to(log_p.dtype) if len(targets) else own
    scores = torch.stack([log_p.detach(), top], 1)
    return -log_p.sum(), scores


def chunks(num_targets: int, vocab_size: int, item_size: int) -> Iterator[slice]:
    """Yields slices of positions whose logits are at most CHUNK_BYTES, one position at least."""
    rows = max(1, CHUNK_BYTES // (item_size * vocab_size))
    for start in range(0, num_targets, rows):
        yield slice(start, min(start + rows, num_targets))


class _ChunkedLoss(torch.autograd.Function):
    """Sum of cross entropies over chunks; gradients are computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        with_gradients: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns loss () and scores (num_targets, 2) of states (num_targets, dim) and weight (vocab_size, dim)."""
        wide = torch.promote_types(states.dtype, torch.float32)
        project = _Projection(states, weight, bias, wide)
        needs = [with_gradients and need for need in ctx.needs_input_grad[:3]]
        of_states = torch.empty_like(states) if needs[0] else None
        of_weight = torch.zeros_like(weight, dtype=wide) if needs[1] else None
        of_bias = torch.zeros_like(bias, dtype=wide) if bias is not None and needs[2] else None
        loss = torch.zeros((), dtype=wide, device=states.device)
        scores = torch.empty(len(states), 2, dtype=wide, device=states.device)
        for piece in chunks(len(states), len(weight), wide.itemsize):
            own = targets[piece, None]
            logits = project(states[piece])
            right = logits.gather(1, own)[:, 0]
            scores[piece, TOP] = (right >= logits.amax(-1)).to(wide)
            # In place from here on, so that one chunk of logits is alive.
            largest = logits.amax(-1, keepdim=True)
            exponentials = logits.sub_(largest).exp_()
            totals = exponentials.sum(-1, keepdim=True)
            scores[piece, LOG_P] = right - largest[:, 0] - totals[:, 0].log()
            loss -= scores[piece, LOG_P].sum()
            if not any(needs):
                continue
            gradient = exponentials.div_(totals)
            gradient.scatter_add_(1, own, gradient.new_full(own.shape, -1.0))
            if of_states is not None:
                of_states[piece] = project.back(gradient)
            if of_weight is not None:
                of_weight.addmm_(gradient.t(), states[piece].to(wide))
            if of_bias is not None:
                of_bias += gradient.sum(0)
        ctx.gradients = (of_states, of_weight, of_bias)
        ctx.kinds = (states.dtype, weight.dtype, None if bias is None else bias.dtype)
        ctx.mark_non_differentiable(scores)
        return loss, scores

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, upstream: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
        """Returns the gradients of the forward pass times the one from above, ()."""
        found, ctx.gradients = ctx.gradients, None
        if found is None:
            raise RuntimeError(
                "the gradients of this loss were taken already: they are kept for one backward pass"
            )
        scaled = [
            None if one is None else one.mul_(upstream.to(one.dtype)).to(kind)
            for one, kind in zip(found, ctx.kinds, strict=True)
        ]
        return (*scaled, None, None)


class _Projection:
    """Logits of a chunk in fp32 or wider, and the way back.

    16-bit states are multiplied by 16-bit weights with fp32 sums where the device can (CUDA), by fp32 copies elsewhere.

    Args:
        states: (num_targets, dim), for dtype and device.
        weight: (vocab_size, dim).
        bias: (vocab_size,) or None.
        wide: dtype of the logits.
    """

    def __init__(
        self, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, wide: torch.dtype
    ) -> None:
        self.mixed = states.dtype in HALF and states.is_cuda
        self.wide, self.narrow = wide, states.dtype
        self.weight = weight.to(states.dtype if self.mixed else wide)
        self.bias = None if bias is None else bias.to(wide)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Returns new logits, (chunk, vocab_size), of states (chunk, dim)."""
        if self.mixed:
            logits = torch.mm(states, self.weight.t(), out_dtype=self.wide)
        else:
            logits = states.to(self.wide) @ self.weight.t()
        return logits if self.bias is None else logits.add_(self.bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Returns the gradient of the states, (chunk, dim), from that of the logits, (chunk, vocab_size)."""
        if self.mixed:
            return torch.mm(gradient.to(self.narrow), self.weight, out_dtype=self.wide)
        return gradient @ self.weight
