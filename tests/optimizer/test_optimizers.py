"""Optimizers take the plan's groups, names and rates."""

import pytest
import torch

from ftcli.config.registry import lookup


def groups():
    model = torch.nn.Linear(3, 2)
    (weight, bias) = model.named_parameters()
    return [
        {"params": [weight], "lr": 0.1, "weight_decay": 0.5, "name": "decay"},
        {"params": [bias], "lr": 0.2, "weight_decay": 0.0, "name": "no-decay"},
    ]


def test_adamw_is_fused_and_keeps_groups_apart():
    entry = lookup("optimizer", "adamw")
    optimizer = entry.build(entry.config_class(betas=[0.8, 0.9], eps=1e-4), groups(), device_type="cpu")
    assert [(g["lr"], g["weight_decay"], g["param_names"]) for g in optimizer.param_groups] == [
        (0.1, 0.5, ["weight"]),
        (0.2, 0.0, ["bias"]),
    ]
    assert all(g["betas"] == (0.8, 0.9) and g["eps"] == 1e-4 and g["fused"] for g in optimizer.param_groups)


def test_sgd_momentum_is_applied():
    entry = lookup("optimizer", "sgd")
    parts = groups()
    bias = parts[1]["params"][0][1]
    optimizer = entry.build(entry.config_class(momentum=0.9), parts, device_type="cpu")
    before = bias.detach().clone()
    for _ in range(2):
        bias.grad = torch.ones_like(bias)
        optimizer.step()
    assert torch.allclose(before - bias, torch.full_like(bias, 0.2 * 1 + 0.2 * 1.9))


@pytest.mark.parametrize(
    ("name", "fields", "key"),
    [("adamw", {"lr": 0.0}, "optimizer.lr"), ("adamw", {"betas": [0.9, 1.0]}, "optimizer.betas"),
     ("adamw", {"eps": 0.0}, "optimizer.eps"), ("sgd", {"weight_decay": -1.0}, "optimizer.weight_decay")],
)  # fmt: skip
def test_values_out_of_range_are_problems(name, fields, key):
    assert [p.key for p in lookup("optimizer", name).config_class(**fields).problems()] == [key]
