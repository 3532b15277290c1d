"""Rates of plans for tests: AdamW and a scheduler, typed."""

from __future__ import annotations

from ftcli.config.choice import Choice
from ftcli.config.schema import LayerwiseConfig, OptimizerConfig, SchedulerConfig
from ftcli.plan.rates import Rates


def make_rates(
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    no_decay: tuple[str, ...] = ("biases", "norms"),
    layerwise: LayerwiseConfig | None = None,
    scheduler: str = "linear",
) -> Rates:
    """Returns rates with the fields that every optimizer has."""
    optimizer = OptimizerConfig(
        lr=lr, weight_decay=weight_decay, no_decay=list(no_decay), layerwise=layerwise or LayerwiseConfig()
    )
    return Rates(
        optimizer=Choice("adamw", "adamw", optimizer),
        scheduler=Choice(scheduler, scheduler, SchedulerConfig()),
    )
