"""The plateau by hand; its comparison with torch's is among the curves."""

from __future__ import annotations

import json
import math

import pytest

from ftcli.config.registry import lookup


def plateau(**fields):
    entry = lookup("scheduler", "plateau")
    return entry.build(entry.config_class(**fields), total_steps=100, steps_per_epoch=25)


def test_lowered_after_more_than_patience():
    got = plateau(patience=2)
    assert [got.observe(0.7, True) for _ in range(7)] == [False, False, False, True, False, False, True]
    assert got(50) == 0.25


def test_direction():
    rising, falling = plateau(patience=0), plateau(patience=0)
    scores = [0.1, 0.2, 0.3]
    assert [rising.observe(score, True) for score in scores] == [False, False, False]
    assert [falling.observe(score, False) for score in scores] == [False, True, True]


@pytest.mark.parametrize(("mode", "lowered"), [("rel", False), ("abs", True)])
def test_a_threshold_is_a_share_or_a_difference(mode, lowered):
    kinds = type(lookup("scheduler", "plateau").config_class().threshold_mode)
    got = plateau(patience=0, threshold=0.1, threshold_mode=kinds(mode))
    got.observe(0.5, True)
    assert got.observe(0.56, True) is lowered


def test_cooldown_holds_back_the_count():
    got = plateau(patience=0, cooldown=2)
    assert [got.observe(0.5, True) for _ in range(6)] == [False, True, False, False, True, False]


def test_not_below_the_floor_and_said_once():
    got = plateau(patience=0, factor=0.1, min_factor=0.05)
    assert [got.observe(0.5, True) for _ in range(4)] == [False, True, True, False]
    assert got(50) == 0.05


@pytest.mark.parametrize("higher", [True, False])
def test_nan_never_improves(higher):
    got = plateau(patience=1)
    assert [got.observe(math.nan, higher) for _ in range(2)] == [False, True]
    assert got.state()["best"] is None
    got.observe(0.5, higher)
    assert got.state()["best"] == 0.5


def test_warmup_rises_to_the_lowered_rate():
    got = plateau(warmup="4st", patience=0)
    assert [got(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    got.observe(0.5, True)
    got.observe(0.5, True)
    assert [got(step) for step in range(5)] == [0.125, 0.25, 0.375, 0.5, 0.5]


def test_state_goes_through_json():
    first, second = plateau(cooldown=1, patience=1), plateau(cooldown=1, patience=1)
    for score in (0.5, 0.4, 0.4):
        first.observe(score, True)
    second.load_state(json.loads(json.dumps(first.state(), allow_nan=False)))
    rest = [0.4, 0.4, 0.4, 0.6, 0.1]
    assert [second.observe(s, True) for s in rest] == [first.observe(s, True) for s in rest]
    assert second(9) == first(9) == 0.25
