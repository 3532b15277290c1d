"""What `build` of a role's modules looks like; the registry keeps it untyped, whoever calls it says which it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from ftcli.plan.curve import LrLambda

if TYPE_CHECKING:
    import torch
    from torch import nn


class ParameterGroup(TypedDict):
    """A parameter group as torch's optimizers take it, with the names of its parameters."""

    params: list[tuple[str, nn.Parameter]]
    lr: float
    weight_decay: float
    name: str


class OptimizerBuilder(Protocol):
    """`build` of ftcli/optimizer/."""

    def __call__(
        self, config: Any, groups: Sequence[ParameterGroup], *, device_type: str
    ) -> torch.optim.Optimizer:
        """Returns the optimizer.

        Args:
            config: of the choice; lr and weight decay are the groups' own.
            groups: parameter groups of the plan.
            device_type: of the parameters, such as `cuda`.
        """


class SchedulerBuilder(Protocol):
    """`build` of ftcli/scheduler/."""

    def __call__(self, config: Any, *, total_steps: int, steps_per_epoch: int) -> LrLambda:
        """Returns the lr curve of a phase.

        Args:
            config: of the choice; its `total_steps` wins over the argument.
            total_steps: optimizer steps the phase can last.
            steps_per_epoch: optimizer steps of one pass over the training rows.

        Raises:
            ConfigError: a warmup that does not fit into the curve.
        """
