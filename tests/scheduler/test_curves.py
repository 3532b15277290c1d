"""Every curve at every step, against a formula of its own or torch's scheduler."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ftcli.config.choice import choices_of
from ftcli.config.compose import load
from ftcli.config.registry import lookup
from ftcli.errors import ConfigError

PURE = (
    "constant",
    "linear",
    "cosine",
    "polynomial",
    "inverse-sqrt",
    "cosine-restarts",
    "one-cycle",
    "warmup-stable-decay",
)


def curve(name: str, total: int = 200, per_epoch: int = 25, **fields):
    entry = lookup("scheduler", name)
    return entry.build(entry.config_class(**fields), total_steps=total, steps_per_epoch=per_epoch)


def progress(step: int, warmup: int, total: int) -> float:
    return min((step - warmup) / (total - warmup), 1.0)


FORMULAS = {
    "constant": lambda x: 1.0,
    "linear": lambda x: 1 - x,
    "cosine": lambda x: math.cos(math.pi * x / 2) ** 2,
    "polynomial": lambda x: (1 - x) ** 2,
    "cosine-restarts": lambda x: (
        math.cos(math.pi / 2 * (3 * x - math.floor(3 * x + 1e-12))) ** 2 if x < 1 else 0.0
    ),
}


@pytest.mark.parametrize("warmup", [0, 1, 20])
@pytest.mark.parametrize("name", FORMULAS)
def test_against_a_formula_at_every_step(name, warmup):
    got = curve(name, warmup=f"{warmup}st")
    for step in range(230):
        expected = (step + 1) / warmup if step < warmup else FORMULAS[name](progress(step, warmup, 200))
        assert got(step) == pytest.approx(expected, abs=1e-9), step


@pytest.mark.parametrize("warmup", [0, 20])
def test_inverse_sqrt(warmup):
    got = curve("inverse-sqrt", warmup=f"{warmup}st")
    assert got(warmup) == 1.0 and got(warmup + 100) == pytest.approx(2**-0.5)
    short = curve("inverse-sqrt", warmup=f"{warmup}st", timescale=7)
    assert [short(warmup + k) for k in range(1, 50)] == pytest.approx(
        [(1 + k / 7) ** -0.5 for k in range(1, 50)]
    )


@pytest.mark.parametrize("shape", ["linear", "cosine", "sqrt"])
def test_warmup_stable_decay(shape):
    entry = lookup("scheduler", "warmup-stable-decay")
    kinds = type(entry.config_class().shape)
    got = curve("warmup-stable-decay", warmup="20st", decay="50st", shape=kinds(shape), min_factor=0.1)
    assert {got(step) for step in range(20, 150)} == {1.0}
    for step in range(150, 230):
        x = min((step - 150) / 50, 1.0)
        y = {"linear": 1 - x, "cosine": math.cos(math.pi * x / 2) ** 2, "sqrt": 1 - x**0.5}[shape]
        assert got(step) == pytest.approx(0.1 + 0.9 * y)
    with pytest.raises(ConfigError, match=r"scheduler\.decay"):
        curve("warmup-stable-decay", warmup="0.5", decay="0.6")


@pytest.mark.parametrize(("total", "rise"), [(200, 0.3), (10, 0.3), (77, 0.05), (500, 0.9)])
def test_one_cycle_is_torchs(total, rise):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=total, pct_start=rise, cycle_momentum=False
    )
    got = curve("one-cycle", total, rise=rise)
    for step in range(total):
        assert got(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6, abs=1e-9), step
        optimizer.step()
        if step < total - 1:
            theirs.step()
    assert got(total + 50) == pytest.approx(1 / 25e4)


@settings(max_examples=300, deadline=None)
@given(
    scores=st.lists(
        st.one_of(st.floats(-2, 2, width=16), st.sampled_from([math.nan, math.inf, -math.inf])),
        min_size=1,
        max_size=40,
    ),
    higher=st.booleans(),
    mode=st.sampled_from(["rel", "abs"]),
    patience=st.integers(0, 4),
    cooldown=st.integers(0, 3),
    floor=st.sampled_from([0.0, 0.2]),
)
def test_plateau_is_torchs(scores, higher, mode, patience, cooldown, floor):
    kinds = type(lookup("scheduler", "plateau").config_class().threshold_mode)
    fields = {"factor": 0.5, "patience": patience, "threshold": 0.01, "cooldown": cooldown}
    got = curve("plateau", warmup="0", threshold_mode=kinds(mode), min_factor=floor, **fields)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max" if higher else "min", threshold_mode=mode, min_lr=floor, eps=0.0, **fields
    )
    optimizer.step()
    for number, score in enumerate(scores):
        before = got(0)
        assert got.observe(score, higher) == (got(0) < before)
        theirs.step(score)
        assert got(0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12), number
        again = curve("plateau", warmup="0", threshold_mode=kinds(mode), min_factor=floor, **fields)
        again.load_state(got.state())
        assert again.state() == got.state()
        got = again


@pytest.mark.parametrize("name", PURE)
def test_curves_stay_in_range_and_past_their_end(name):
    got = curve(name, 100)
    values = [got(step) for step in range(300)]
    assert all(0 <= value <= 1 for value in values) and max(values) > 0.98
    assert all(a >= b - 1e-12 for a, b in zip(values[100:], values[101:], strict=False))


@pytest.mark.parametrize("name", [name for name in choices_of("scheduler") if name != "one-cycle"])
def test_every_choice_composes_with_a_warmup(name):
    config = load([f"scheduler={name}", "scheduler.warmup=10st"]).config
    built = lookup("scheduler", config.uses["scheduler"]).build(
        config.scheduler, total_steps=50, steps_per_epoch=10
    )
    assert [built(step) for step in range(10)] == pytest.approx([(step + 1) / 10 for step in range(10)])


@pytest.mark.parametrize(("name", "fields", "key"), [
    ("polynomial", {"power": 0.0}, "scheduler.power"),
    ("polynomial", {"min_factor": 1.0}, "scheduler.min_factor"),
    ("inverse-sqrt", {"timescale": 0}, "scheduler.timescale"),
    ("cosine-restarts", {"num_cycles": 0}, "scheduler.num_cycles"),
    ("one-cycle", {"warmup": "0.1"}, "scheduler.warmup"),
    ("one-cycle", {"rise": 1.0}, "scheduler.rise"),
    ("one-cycle", {"div_factor": 0.5}, "scheduler.div_factor"),
    ("warmup-stable-decay", {"decay": "2"}, "scheduler.decay"),
    ("plateau", {"factor": 1.0}, "scheduler.factor"),
    ("plateau", {"patience": -1}, "scheduler.patience"),
    ("plateau", {"threshold": math.nan}, "scheduler.threshold"),
])  # fmt: skip
def test_ranges(name, fields, key):
    assert [p.key for p in lookup("scheduler", name).config_class(**fields).problems()] == [key]
