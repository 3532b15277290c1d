"""Optimizer state by parameter name: a restored optimizer goes on bit for bit."""

import pytest
import torch

from ftcli.errors import CheckpointError
from ftcli.plan.optimizer_state import load_named_state, named_state


def make(kind: str):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 2))
    named = list(model.named_parameters())
    groups = [{"params": named[:2], "lr": 0.1}, {"params": named[2:], "lr": 0.2}]
    if kind == "adamw":
        return model, torch.optim.AdamW(groups, weight_decay=0.1, fused=True)
    return model, torch.optim.SGD(groups, momentum=0.9)


def step(model, optimizer, number):
    torch.manual_seed(number)
    model(torch.randn(4, 5)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_continues_bit_identically(kind):
    model, optimizer = make(kind)
    for number in range(3):
        step(model, optimizer, number)
    state = {name: tensor.clone() for name, tensor in named_state(optimizer).items()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for number in range(3, 6):
        step(model, optimizer, number)
    again, other = make(kind)
    again.load_state_dict(weights)
    load_named_state(other, state)
    for number in range(3, 6):
        step(again, other, number)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_missing_and_extra_names_are_refused():
    model, optimizer = make("adamw")
    step(model, optimizer, 0)
    state = dict(named_state(optimizer))
    short = {name: tensor for name, tensor in state.items() if not name.startswith("1.bias")}
    with pytest.raises(CheckpointError, match="lacks"):
        load_named_state(make("adamw")[1], short)
    with pytest.raises(CheckpointError, match="does not train here"):
        load_named_state(make("adamw")[1], {**state, "ghost/exp_avg": torch.zeros(1)})
