"""Numbers that are NaN or infinite: nothing of them is applied or saved, and the error says where they are and what to try."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from ftcli.errors import NonFiniteError, Problem

MAX_SKIPPED_IN_ROW = 20


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What an error says of the step in which a number was not finite."""

    step: int
    """That is being made, counted from 1."""
    precision: str
    """`fp32`, `bf16` or `fp16`."""
    lr: float
    """Of the first group."""


def require_finite(what: str, value: float, facts: StepFacts, *, source: str = "") -> None:
    """Lets finite values pass.

    Args:
        what: such as `the loss`.
        value: of it.
        facts: of the step.
        source: what it comes from, where that was found: `first_of` on inputs, weights or gradients.

    Raises:
        NonFiniteError: it is not a number, or infinite.
    """
    if math.isfinite(value):
        return
    where = f" ({source})" if source else ""
    raise NonFiniteError(
        Problem(
            f"step {facts.step}",
            f"{what} is {value}{where}; nothing of this step was applied",
            _hint(facts, source),
        )
    )


def _hint(facts: StepFacts, source: str) -> str:
    """Returns what to try."""
    if source.startswith("the input"):
        return "look for broken rows: ftcli check-data with the words of this run"
    if facts.precision == "fp16":
        return "fp16 overflows at 65,504: type trainer.precision=bf16 or trainer.precision=fp32"
    return f"usually the learning rate is too high: type optimizer.lr={facts.lr / 10:.0e}, or look for broken rows"


def first_of(kind: str, tensors: Iterable[tuple[str, torch.Tensor | None]]) -> str:
    """Returns `KIND NAME holds NaN` for the first tensor that is not finite, or ''.

    Args:
        kind: of the tensors, such as `the input`.
        tensors: by name, of any shape (num_rows, dim); None and tensors of integers are passed over.
    """
    for name, tensor in tensors:
        if tensor is None or not tensor.is_floating_point():
            continue
        values = tensor._values() if tensor.is_sparse else tensor
        if not bool(values.isfinite().all()):
            return f"{kind} {name} holds {'NaN' if bool(values.isnan().any()) else 'infinite numbers'}"
    return ""


def require_finite_state(kinds: Mapping[str, Mapping[str, torch.Tensor]], step: int) -> None:
    """Lets a checkpoint's tensors pass where all of them are finite, so that the newest one is always a good one.

    Args:
        kinds: what tensors are, such as `the weight` -> name -> tensor, of any shape (num_rows, dim).
        step: optimizer steps taken.

    Raises:
        NonFiniteError: one is not; nothing was saved.
    """
    for kind, tensors in kinds.items():
        # One number for all of them, so that a device is asked once: a sum of norms is finite where all are.
        floats = [t for t in tensors.values() if t.is_floating_point() and t.numel()]
        if not floats or math.isfinite(float(torch.nn.utils.get_total_norm(floats, math.inf))):
            continue
        if found := first_of(kind, tensors.items()):
            message = f"{found}; no checkpoint of this step was saved, and the one before it is whole"
            hint = "type a lower optimizer.lr, or trainer.precision=fp32, in a new run"
            raise NonFiniteError(Problem(f"step {step}", message, hint))


def require_some_applied(skipped_in_row: int, step: int) -> None:
    """Lets fp16's scaler skip a step now and then.

    Raises:
        NonFiniteError: it never finds a scale.
    """
    if skipped_in_row >= MAX_SKIPPED_IN_ROW:
        message = f"fp16 gradients were infinite {MAX_SKIPPED_IN_ROW} steps in a row"
        raise NonFiniteError(
            Problem(f"step {step}", message, "type trainer.precision=bf16 or trainer.precision=fp32")
        )
