"""Optimizer state through a file: every tensor, dtype and device rule comes back."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftcli.errors import CheckpointError
from ftcli.plan.optimizer_state import load_named_state, named_state


def used_and_unused(**options):
    """A model with a tensor that never gets a gradient, and its AdamW after two steps."""
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"used": torch.nn.Linear(4, 3), "unused": torch.nn.Linear(4, 3, bias=False)})
    optimizer = torch.optim.AdamW([{"params": list(model.named_parameters())}], lr=0.1, **options)
    for _ in range(2):
        model["used"](torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def fresh(**options):
    model = torch.nn.ModuleDict({"used": torch.nn.Linear(4, 3), "unused": torch.nn.Linear(4, 3, bias=False)})
    return torch.optim.AdamW([{"params": list(model.named_parameters())}], lr=0.1, **options)


@pytest.mark.parametrize("options", [{"fused": True}, {"fused": False, "foreach": False}])
def test_a_file_gives_back_every_bit(tmp_path, options):
    _, optimizer = used_and_unused(**options)
    saved = named_state(optimizer)
    slots = ("step", "exp_avg", "exp_avg_sq")
    assert set(saved) == {f"used.{n}/{s}" for n in ("weight", "bias") for s in slots} | {
        "unused.weight/stateless"
    }
    save_file(saved, tmp_path / "optimizer.safetensors")
    other = fresh(**options)
    load_named_state(other, load_file(tmp_path / "optimizer.safetensors"))
    restored = named_state(other)
    assert set(restored) == set(saved)
    assert all(torch.equal(restored[n], saved[n]) and restored[n].dtype == saved[n].dtype for n in saved)
    assert restored["used.bias/step"].item() == 2


def test_loading_copies_and_keeps_dtypes():
    _, optimizer = used_and_unused(fused=False)
    state = {
        n: t.to(torch.float64) if n.endswith("exp_avg") else t.clone()
        for n, t in named_state(optimizer).items()
    }
    other = fresh(fused=False)
    load_named_state(other, state)
    restored = named_state(other)
    assert restored["used.weight/exp_avg"].dtype == torch.float64
    assert restored["used.weight/exp_avg"].data_ptr() != state["used.weight/exp_avg"].data_ptr()


def test_before_the_first_step_every_tensor_is_named():
    assert set(named_state(fresh())) == {
        f"{n}/stateless" for n in ("used.weight", "used.bias", "unused.weight")
    }
    load_named_state(fresh(), named_state(fresh()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: s.pop("unused.weight/stateless"),
            "lacks the optimizer state of 1 tensors, such as unused.weight",
        ),
        (lambda s: s.pop("used.bias/exp_avg_sq"), "the saved state is incomplete"),
        (lambda s: s.update({"used.bias/exp_avg": torch.zeros(4)}), "has shape"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change, words):
    _, optimizer = used_and_unused()
    state = dict(named_state(optimizer))
    change(state)
    other = fresh()
    with pytest.raises(CheckpointError, match=words):
        load_named_state(other, state)
    assert not other.state
