"""What must hold for activations to be cached: looked up on the modules, then tried on a few rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ftcli.batching.protocols import Batch
from ftcli.trainer.activation_cache.cut_point import Frame
from ftcli.trainer.forward import Forward

CHANGING_ROPE = ("dynamic", "longrope")
"""Rotary embeddings that depend on the longest row of a batch."""

UNLIKE = 1e3
"""Stands in a trial where nothing is stored; finite, for a head may multiply it by gradients that are 0."""


def obstacle(model: nn.Module, frame: Frame, depth: int, trained: list[nn.Parameter], side: str) -> str:
    """Returns what forbids to cache activations at a boundary, or ''.

    Args:
        model: with train modes as in training.
        frame: its modules.
        depth: the boundary.
        trained: what the optimizer holds.
        side: on which rows are padded.
    """
    if side != "right":
        return "rows are padded on the left, which moves their positions from batch to batch"
    rope = getattr(model.config, "rope_parameters", None) or {}
    if any(str(value) in CHANGING_ROPE for value in rope.values()):
        return "its rotary embeddings depend on the longest row of a batch"
    own = {parameter.untyped_storage().data_ptr() for parameter in trained}
    for top in frame.below(depth):
        if any(parameter.untyped_storage().data_ptr() in own for parameter in top.parameters()):
            return "a tensor below the boundary trains, or shares its memory with one that does"
        for module in top.modules():
            if reason := _of_module(module):
                return reason
    return ""


def _of_module(module: nn.Module) -> str:
    kind = type(module).__name__
    if getattr(module, "running_mean", None) is not None:
        return f"{kind} below the boundary holds running statistics"
    if module.training:
        return f"{kind} below the boundary runs in train mode"
    if module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__:
        return f"{kind} below the boundary has a hook"
    return ""


class _Outcome(NamedTuple):
    """What a run of the trial's rows gives."""

    loss: float
    records: list[np.ndarray]
    """What the task records of each row's prediction."""
    gradients: Sequence[torch.Tensor | None]
    """Of each trained parameter, of its shape; None where the loss does not depend on it."""


class Trial:
    """Runs a few labelled rows whole, and again from stored states: predictions, loss and gradients must agree.

    That is what finds trainable parts that feed the lower layers from elsewhere, such as soft prompts.

    Args:
        forward: of the run.
        model: the model.
        frame: its modules.
        batch: the rows, on the device.
        lengths: (num_sequences,) places of each sequence; None: all of them.
        last: whether a sequence's last place is surely what a head finds by looking for PAD.
    """

    def __init__(
        self,
        forward: Forward,
        model: nn.Module,
        frame: Frame,
        batch: Batch,
        lengths: np.ndarray | None,
        last: bool,
    ) -> None:
        self.forward, self.model, self.frame, self.batch = forward, model, frame, batch
        self.lengths, self.last = lengths, last
        # What half precision rounds differs a little where padding holds other values.
        self.tolerance = 1e-4 if forward.precision == "fp32" else 2e-2

    def run(
        self, depths: list[int], trained: list[nn.Parameter]
    ) -> tuple[str, dict[int, dict[str, torch.Tensor]]]:
        """Returns what must be stored at the first of the depths ('' where nothing agrees) and what was caught at each.

        Args:
            depths: boundaries; the first one is tried. What is caught has the shape (num_sequences, seq_len, hidden).
            trained: what the optimizer holds.
        """
        with self.frame.catching(depths, stop=False) as caught:
            expected = self._outcome(trained)
        depth = depths[0]
        for stored in self._choices(depth, caught[depth]):
            states = self._only(stored, caught[depth])
            with self.frame.replaying(depth, stored, states):
                if self._agree(expected, self._outcome(trained)):
                    return stored, caught
        return "", caught

    def _choices(self, depth: int, caught: dict[str, torch.Tensor]) -> list[str]:
        """Returns what may be enough to store, least first; attention above a boundary reads every position."""
        if depth < len(self.frame.blocks):
            return ["all"]
        shortest = self.lengths.min() if self.lengths is not None else caught["states"].shape[1]
        narrow = ["first", *(["last"] if self.last else [])] if shortest > 2 else []
        return [*(["pooled"] if "pooled" in caught else []), *narrow, "all"]

    def _only(self, stored: str, caught: dict[str, torch.Tensor]) -> torch.Tensor:
        """Returns states, (num_sequences, seq_len, hidden), with other values where they would not be stored, 0 at padding."""
        if stored == "pooled":
            return caught["pooled"]
        states = caught["states"]
        width = states.shape[1]
        lengths = self.lengths if self.lengths is not None else np.full(len(states), width)
        place, last = np.arange(width)[None, :], lengths[:, None] - 1
        held = {"all": place <= last, "first": place == 0, "last": place == last}[stored]
        filler = 0.0 if stored == "all" else UNLIKE
        mask = torch.from_numpy(np.broadcast_to(held, states.shape[:2]).copy()).to(states.device)
        return states.masked_fill(~mask[..., None], filler)

    def _outcome(self, trained: list[nn.Parameter]) -> _Outcome:
        """Runs the batch forward and backward."""
        with torch.enable_grad():
            output = self.forward.loss(self.model, self.batch, train=False)
        gradients = torch.autograd.grad(output.loss_sum, trained, allow_unused=True)
        records = self.forward.task.records(output, self.batch)
        return _Outcome(float(output.loss_sum.detach()), records, gradients)

    def _agree(self, expected: _Outcome, found: _Outcome) -> bool:
        """Returns whether losses, predictions and gradients are near each other."""
        near = math.isclose(expected.loss, found.loss, rel_tol=self.tolerance, abs_tol=1e-7)
        near &= all(
            np.allclose(a, b, rtol=self.tolerance, atol=self.tolerance)
            for a, b in zip(expected.records, found.records, strict=True)
        )
        pairs = zip(expected.gradients, found.gradients, strict=True)
        return near and all(self._near(a, b) for a, b in pairs)

    def _near(self, expected: torch.Tensor | None, found: torch.Tensor | None) -> bool:
        # A parameter that the head alone reads may get no gradient at all one way and zeros the other.
        if expected is None or found is None:
            other = expected if found is None else found
            return other is None or not other.any()
        gap = float((expected - found).abs().max())
        # Not a comparison that NaN passes.
        return gap <= self.tolerance * float(expected.abs().max()) + 1e-7
