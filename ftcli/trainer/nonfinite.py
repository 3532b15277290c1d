"""Losses and gradients that are NaN or infinite: nothing of them is applied, and the error says what to try."""

from __future__ import annotations

import math

from ftcli.errors import NonFiniteError, Problem

MAX_SKIPPED_IN_ROW = 20


def require_finite(what: str, value: float, *, step: int, precision: str, lr: float) -> None:
    """Lets finite values pass.

    Args:
        what: such as `the loss`.
        value: of it.
        step: that is being made, counted from 1.
        precision: `fp32`, `bf16` or `fp16`.
        lr: of the first group.

    Raises:
        NonFiniteError: it is not a number, or infinite.
    """
    if math.isfinite(value):
        return
    cause = f"usually the learning rate is too high: type optimizer.lr={lr / 10:.0e}, or look for broken rows"
    if precision == "fp16":
        cause = "fp16 overflows at 65,504: type trainer.precision=bf16 or trainer.precision=fp32"
    raise NonFiniteError(
        Problem(f"step {step}", f"{what} is {value}; nothing of this step was applied", cause)
    )


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
