"""The fields of the curves, against Hugging Face's own schedules, and what their ranges refuse."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import (
    get_cosine_with_hard_restarts_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_polynomial_decay_schedule_with_warmup,
)

from ftcli.config.compose import load
from ftcli.config.registry import lookup
from ftcli.errors import ConfigError

NEW = ("polynomial", "inverse-sqrt", "cosine-restarts", "one-cycle", "warmup-stable-decay", "plateau")


def curve(name: str, total: int = 200, per_epoch: int = 25, **fields):
    entry = lookup("scheduler", name)
    return entry.build(entry.config_class(**fields), total_steps=total, steps_per_epoch=per_epoch)


def after_warmup(theirs, warmup: int) -> list[float]:
    """Returns the factors of a Hugging Face schedule; its warmup differs from ours by design."""
    return [theirs.lr_lambdas[0](step) for step in range(warmup, 260)]


@pytest.fixture
def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize("warmup", [0, 1, 20])
@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_polynomial_is_hugging_faces(optimizer, warmup, power):
    theirs = get_polynomial_decay_schedule_with_warmup(optimizer, warmup, 200, lr_end=0.1, power=power)
    got = curve("polynomial", warmup=f"{warmup}st", power=power, min_factor=0.1)
    assert [got(step) for step in range(warmup, 260)] == pytest.approx(after_warmup(theirs, warmup))


@pytest.mark.parametrize("warmup", [0, 1, 20])
@pytest.mark.parametrize("cycles", [1, 3, 7])
def test_restarts_are_hugging_faces_lifted_to_the_floor(optimizer, warmup, cycles):
    theirs = get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, warmup, 200, cycles)
    got = curve("cosine-restarts", warmup=f"{warmup}st", num_cycles=cycles, min_factor=0.2)
    expected = [0.2 + 0.8 * value for value in after_warmup(theirs, warmup)]
    assert [got(step) for step in range(warmup, 260)] == pytest.approx(expected)


@pytest.mark.parametrize("warmup", [1, 20])
def test_inverse_sqrt_is_hugging_faces(optimizer, warmup):
    theirs = get_inverse_sqrt_schedule(optimizer, warmup, timescale=50)
    got = curve("inverse-sqrt", warmup=f"{warmup}st", timescale=50)
    assert [got(step) for step in range(warmup, 260)] == pytest.approx(after_warmup(theirs, warmup))


@pytest.mark.parametrize(("name", "at_30"), [
    ("polynomial", 0.16),
    ("cosine-restarts", math.cos(math.pi / 2 * 0.8) ** 2),
    ("warmup-stable-decay", 1.0),
])  # fmt: skip
def test_total_steps_pins_the_curve(name, at_30):
    curves = [curve(name, total, total_steps=50, warmup="0") for total in (10, 1000)]
    assert [got(30) for got in curves] == pytest.approx([at_30, at_30])
    assert [got(50) for got in curves] == [0.0, 0.0]


def test_total_steps_pins_one_cycle():
    short, long = (curve("one-cycle", total, total_steps=50) for total in (10, 1000))
    assert [short(step) for step in range(60)] == [long(step) for step in range(60)]
    assert short(14) == 1.0 and short(49) == pytest.approx(1 / 25e4)
    one = curve("one-cycle", 10, total_steps=1)  # the run is longer than its curve
    assert [one(0), one(1), one(9)] == pytest.approx([1.0, 1 / 25e4, 1 / 25e4])


def test_div_factors_of_one_cycle_are_its_ends():
    got = curve("one-cycle", 100, div_factor=4, final_div_factor=5)
    assert [got(0), got(29), got(99)] == pytest.approx([1 / 4, 1.0, 1 / 20])


def test_a_rise_of_no_whole_step_still_reaches_the_peak():
    got = curve("one-cycle", 8, rise=0.1)
    assert got(0) == 1.0 and got(1) < 1.0 and got(7) == pytest.approx(1 / 25e4)
    assert curve("one-cycle", 1)(0) == 1.0


@pytest.mark.parametrize("warmup", ["0", "0st", "0ep", "0.0"])
def test_one_cycle_takes_a_warmup_of_nothing_in_any_form(warmup):
    assert lookup("scheduler", "one-cycle").config_class(warmup=warmup).problems() == []


def test_a_decay_may_be_epochs_or_nothing():
    got = curve("warmup-stable-decay", warmup="0", decay="2ep")
    assert got(150) == 1.0 and got(151) == pytest.approx(1 - 50**-0.5)
    assert {curve("warmup-stable-decay", warmup="0", decay="0")(step) for step in (0, 199, 500)} == {1.0}


def test_a_decay_longer_than_the_curve_names_its_key():
    with pytest.raises(ConfigError, match=r"scheduler\.decay.* 9ep is 225 steps \(9 x 25 steps an epoch\)"):
        curve("warmup-stable-decay", decay="9ep")


def test_a_warmup_of_one_cycle_is_answered_with_the_rise():
    (problem,) = lookup("scheduler", "one-cycle").config_class(warmup="10st").problems()
    assert "scheduler.rise" in problem.hint


@pytest.mark.parametrize("name", NEW)
def test_yaml_and_defaults_are_in_range(name):
    config = load([f"scheduler={name}"]).config.scheduler
    assert config.problems() == [] and lookup("scheduler", name).config_class().problems() == []


@pytest.mark.parametrize(("name", "fields", "key"), [
    ("polynomial", {"power": math.nan}, "scheduler.power"),
    ("polynomial", {"power": math.inf}, "scheduler.power"),
    ("plateau", {"threshold": math.inf}, "scheduler.threshold"),
    ("warmup-stable-decay", {"decay": "0", "min_factor": 0.5}, "scheduler.min_factor"),
    ("cosine-restarts", {"min_factor": -0.1}, "scheduler.min_factor"),
    ("one-cycle", {"rise": 0.0}, "scheduler.rise"),
    ("one-cycle", {"final_div_factor": math.inf}, "scheduler.final_div_factor"),
    ("warmup-stable-decay", {"decay": "1.5st"}, "scheduler.decay"),
    ("warmup-stable-decay", {"min_factor": 1.0}, "scheduler.min_factor"),
    ("plateau", {"factor": 0.0}, "scheduler.factor"),
    ("plateau", {"cooldown": -1}, "scheduler.cooldown"),
    ("plateau", {"min_factor": 1.0}, "scheduler.min_factor"),
])  # fmt: skip
def test_ranges(name, fields, key):
    assert [p.key for p in lookup("scheduler", name).config_class(**fields).problems()] == [key]


@pytest.mark.parametrize("name", NEW)
def test_common_fields_are_checked(name):
    problems = lookup("scheduler", name).config_class(total_steps=0).problems()
    assert [p.key for p in problems] == ["scheduler.total_steps"]
