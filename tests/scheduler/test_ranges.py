"""Ranges, pinned lengths and the arithmetic of a warmup that does not fit."""

import math

import pytest

from ftcli.config.registry import lookup
from ftcli.errors import ConfigError
from ftcli.plan.duration import warmup_steps


@pytest.mark.parametrize(
    ("name", "fields", "key"),
    [
        ("linear", {"warmup": "soon"}, "scheduler.warmup"),
        ("constant", {"warmup": "100"}, "scheduler.warmup"),
        ("cosine", {"total_steps": 0}, "scheduler.total_steps"),
        ("cosine", {"min_factor": 1.0}, "scheduler.min_factor"),
    ],
)
def test_values_out_of_range_are_problems(name, fields, key):
    config_class = lookup("scheduler", name).config_class
    assert [p.key for p in config_class(**fields).problems()] == [key]
    assert config_class().problems() == []


def test_a_bare_number_is_answered_with_both_units():
    (problem,) = lookup("scheduler", "linear").config_class(warmup="100").problems()
    assert "scheduler.warmup=100st" in problem.hint and "scheduler.warmup=100ep" in problem.hint


def test_a_warmup_longer_than_the_curve_shows_its_arithmetic():
    with pytest.raises(ConfigError, match=r"2ep is 624 steps \(2 x 312 steps an epoch\), .* of 500 steps"):
        warmup_steps("2ep", total_steps=500, steps_per_epoch=312)


def test_shares_round_up_but_not_on_rounding_errors():
    assert [warmup_steps(t, total_steps=30, steps_per_epoch=7) for t in ("0.1", "0.11", "1.5ep")] == [
        3,
        4,
        11,
    ]


@pytest.mark.parametrize(("name", "at_25"), [("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)])
def test_total_steps_pins_the_curve_whatever_the_runs_length(name, at_25):
    entry = lookup("scheduler", name)
    config = entry.config_class(total_steps=50, warmup="0")
    curves = [entry.build(config, total_steps=total, steps_per_epoch=10) for total in (10, 1000)]
    assert [curve(25) for curve in curves] == pytest.approx([at_25, at_25])


def test_a_warmup_of_the_whole_length_ends_at_one_then_zero():
    entry = lookup("scheduler", "linear")
    curve = entry.build(entry.config_class(warmup="4st"), total_steps=4, steps_per_epoch=4)
    assert [curve(s) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 0.0, 0.0]


def test_cosine_falls_to_min_factor():
    entry = lookup("scheduler", "cosine")
    curve = entry.build(entry.config_class(min_factor=0.2), total_steps=8, steps_per_epoch=4)
    assert curve(2) == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert curve(8) == curve(9) == 0.2
