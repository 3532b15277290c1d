"""An optimizer's state as named tensors, and back, bit for bit.

torch numbers parameters by position, which a changed plan silently permutes; names stay the same.
Hyperparameters are not saved: the plan and the scheduler set them when the optimizer is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ftcli.errors import CheckpointError, Problem

if TYPE_CHECKING:
    import torch

STATELESS = "stateless"
"""Slot of a parameter without state (no gradient yet, or SGD without momentum): a name that is missing is
then an error, and an empty state is not."""


def named_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Returns `<parameter name>/<slot>` -> tensor, such as `classifier.weight/exp_avg`.

    Slots have the shape of their parameter, `step` is a scalar. The tensors are the optimizer's own, not
    copies. A parameter without state has one empty tensor, of shape (0,).

    Raises:
        TypeError: state that is no tensor.
    """
    import torch

    tensors: dict[str, torch.Tensor] = {}
    for name, parameter, _ in _named_parameters(optimizer):
        slots = {k: v for k, v in optimizer.state.get(parameter, {}).items() if v is not None}
        for slot, value in slots.items():
            if not isinstance(value, torch.Tensor):
                raise TypeError(f"optimizer state {name}/{slot} is {type(value).__name__}, not a tensor")
            tensors[f"{name}/{slot}"] = value
        if not slots:
            tensors[f"{name}/{STATELESS}"] = torch.empty(0)
    return tensors


def load_named_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Sets the optimizer's whole state from what `named_state` gave.

    Values and dtypes are kept as they are. Slots go to their parameter's device; `step` stays on the
    CPU unless the group is fused or capturable, as in torch.

    Args:
        optimizer: built over named parameters.
        tensors: `<parameter name>/<slot>` -> tensor of the parameter's shape, or a scalar.

    Raises:
        CheckpointError: names the optimizer does not have, parameters without an entry, or shapes
            that differ; nothing is changed then.
    """
    by_name: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        name, _, slot = key.rpartition("/")
        by_name.setdefault(name, {})[slot] = value
    _check_names(optimizer, by_name)
    state: dict[torch.Tensor, dict[str, torch.Tensor]] = {}
    for name, parameter, group in _named_parameters(optimizer):
        slots = {slot: value for slot, value in by_name[name].items() if slot != STATELESS}
        if slots:
            state[parameter] = {s: _placed(name, s, v, parameter, group) for s, v in slots.items()}
    optimizer.state.clear()
    optimizer.state.update(state)


def adopt_named_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Takes over the state of those parameters that the optimizer has; the others begin without one.

    A phase that trains more, or less, than the one before it keeps its moments this way.

    Args:
        optimizer: built over named parameters.
        tensors: `<parameter name>/<slot>` -> tensor of the parameter's shape, or a scalar.

    Raises:
        CheckpointError: a shape that differs.
    """
    for name, parameter, group in _named_parameters(optimizer):
        slots = {
            key.rpartition("/")[2]: value for key, value in tensors.items() if key.rpartition("/")[0] == name
        }
        slots.pop(STATELESS, None)
        if slots:
            optimizer.state[parameter] = {s: _placed(name, s, v, parameter, group) for s, v in slots.items()}


def _named_parameters(
    optimizer: torch.optim.Optimizer,
) -> Iterator[tuple[str, torch.nn.Parameter, dict[str, Any]]]:
    for group in optimizer.param_groups:
        for name, parameter in zip(group["param_names"], group["params"], strict=True):
            yield name, parameter, group


def _check_names(optimizer: torch.optim.Optimizer, saved: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    names = [name for name, _, _ in _named_parameters(optimizer)]
    problems = []
    for what, odd in (
        ("lacks the optimizer state of", sorted(set(names) - set(saved))),
        ("has optimizer state, which does not train here, of", sorted(set(saved) - set(names))),
    ):
        if odd:
            message = f"the checkpoint {what} {len(odd)} tensors, such as {odd[0]}"
            problems.append(Problem("optimizer", message, "resume with the plan that the run was saved with"))
    full = {frozenset(slots) for slots in saved.values() if STATELESS not in slots}
    if len(full) > 1:
        kinds = " and ".join(sorted("+".join(sorted(slots)) for slots in full))
        problems.append(Problem("optimizer", f"the saved state is incomplete: tensors have {kinds}"))
    if problems:
        raise CheckpointError(*problems)


def _placed(
    name: str, slot: str, value: torch.Tensor, parameter: torch.nn.Parameter, group: dict[str, Any]
) -> torch.Tensor:
    import torch

    if value.ndim and value.shape != parameter.shape:
        shapes = f"{tuple(value.shape)}, the parameter {tuple(parameter.shape)}"
        raise CheckpointError(Problem("optimizer", f"{name}/{slot} has shape {shapes}"))
    on_device = slot != "step" or group.get("fused") or group.get("capturable")
    device = parameter.device if on_device else torch.device("cpu")
    # Like its parameter in memory too: a fused kernel walks both as one flat array.
    layout = torch.empty_like(parameter, dtype=value.dtype, device=device) if value.ndim else None
    return value.detach().clone().to(device) if layout is None else layout.copy_(value)
