"""What the lr curves share: a warmup that begins above 0, then the scheduler's own shape."""

from __future__ import annotations

from collections.abc import Callable

from ftcli.config.schema import SchedulerConfig
from ftcli.plan.duration import warmup_steps

LrLambda = Callable[[int], float]
"""0-based step of the phase -> multiplier of the lr, as in torch's LambdaLR."""


def warmed_up(
    config: SchedulerConfig, total_steps: int, steps_per_epoch: int, shape: Callable[[int, int], float]
) -> LrLambda:
    """Returns the lr multiplier at a 0-based step of the phase: `(step + 1) / warmup`, then `shape`.

    Departure from transformers' schedules: there the first step has lr 0 and changes nothing; this one
    starts at 1 / warmup.

    Args:
        config: warmup, and `total_steps`, which wins over the phase's length.
        total_steps: optimizer steps of the phase.
        steps_per_epoch: optimizer steps of one pass over the training rows.
        shape: (steps since the warmup, steps from its end to that of the curve) -> multiplier; the first may
            exceed the second.

    Raises:
        ConfigError: a warmup that cannot be read or is longer than the curve.
    """
    total = config.total_steps or total_steps
    warmup = warmup_steps(config.warmup, total_steps=total, steps_per_epoch=steps_per_epoch)

    def lr_lambda(step: int) -> float:
        return (step + 1) / warmup if step < warmup else shape(step - warmup, total - warmup)

    return lr_lambda
