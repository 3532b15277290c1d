"""The states that a model's output projection would read, without the projection.

The projection's forward is replaced by one that takes its input and raises, so that everything before it runs as always: hooks,
soft prompts, gradient checkpointing, cached activations. Whether the model's logits are that projection and no more is tried once a
model (`try_selection`); Gemma 2 bounds its logits afterwards, and is computed whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftcli.batching.eval_mode import undisturbed
from ftcli.batching.protocols import Batch

if TYPE_CHECKING:
    import torch

TRIED = "selects_logits"
"""Attribute of a model, set by `try_selection`."""
POSITIONS = 8
SPREAD = 129
"""How many different whole numbers the trial takes for logits, from -64 to 64: bfloat16 holds them."""


class _Captured(Exception):  # noqa: N818 - no error: the way out of the forward pass
    """Carries the input of the output projection."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.states = states


def selects_logits(model: Any) -> bool:
    """Returns whether a trial showed that the model's logits are its output projection and nothing more."""
    return bool(model.__dict__.get(TRIED, False))


def states_of(model: Any, inputs: Batch) -> torch.Tensor:
    """Runs the model up to its output projection and returns what that would read, (num_sequences, seq_len, dim).

    Args:
        model: with an output projection.
        inputs: of its forward; `input_ids` are (num_sequences, seq_len).
    """
    head = model.get_output_embeddings()

    def capture(states: torch.Tensor) -> None:
        """Takes states (num_sequences, seq_len, dim)."""
        raise _Captured(states)

    head.__dict__["forward"] = capture
    try:
        model(**inputs)
    except _Captured as captured:
        # A soft prompt stands before the row, and what cuts its outputs off comes after the projection.
        states = captured.states[:, -inputs["input_ids"].shape[1] :]
    else:
        raise RuntimeError(f"{type(model).__name__} never called its output projection")
    finally:
        del head.__dict__["forward"]
    return states


def try_selection(model: Any) -> bool:
    """Finds out whether the model gives what its output projection gives, unchanged; the outcome is kept on the model.

    Numbers of our own take the place of the projection's, large ones, as a bound on logits changes small ones by less than rounding.

    Args:
        model: with adapters and hooks; modes and random numbers are left as they were.
    """
    import torch

    model.__dict__[TRIED] = False
    head = model.get_output_embeddings()
    if not _plain(head):
        return False
    vocab_size, device = head.out_features, head.weight.device
    ids = torch.arange(POSITIONS, device=device)[None] % vocab_size
    numbers = (
        torch.arange(POSITIONS * vocab_size, device=device).view(1, POSITIONS, -1) % SPREAD - SPREAD // 2
    )
    given: list[torch.Tensor] = []

    def project(states: torch.Tensor) -> torch.Tensor:
        """Returns the numbers in the place of logits, of states (1, seq_len, dim)."""
        room = states.shape[1] - POSITIONS
        given.append(torch.cat([numbers.new_zeros(1, room, vocab_size), numbers], 1).to(states.dtype))
        return given[-1]

    head.__dict__["forward"] = project
    try:
        with undisturbed(model), torch.no_grad():
            found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    finally:
        del head.__dict__["forward"]
    model.__dict__[TRIED] = len(given) == 1 and torch.equal(found.float(), numbers.float())
    return selects_logits(model)


def _plain(head: Any) -> bool:
    """Returns whether a module is a matrix product, with or without a bias, and nothing else."""
    from torch import nn

    return (
        isinstance(head, nn.Linear)
        and type(head).forward is nn.Linear.forward
        and not (head._forward_hooks or head._forward_pre_hooks)
    )
