"""The lr curves at named steps, by hand."""

import math

import pytest

from ftcli.config.registry import lookup


def factor(name: str, total: int = 100, per_epoch: int = 25, **fields):
    entry = lookup("scheduler", name)
    return entry.build(entry.config_class(**fields), total_steps=total, steps_per_epoch=per_epoch)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
def test_warmup_rises_to_one_without_a_wasted_step(name):
    curve = factor(name, warmup="0.1")
    assert [curve(step) for step in range(10)] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert curve(10) == 1.0


def test_after_warmup():
    assert [factor("constant", warmup="0.1")(s) for s in (10, 55, 99, 200)] == [1, 1, 1, 1]
    linear = factor("linear", warmup="1ep")
    assert [linear(s) for s in (25, 40, 99)] == pytest.approx([1.0, 60 / 75, 1 / 75])
    assert linear(100) == linear(500) == 0.0
    cosine = factor("cosine")
    assert [cosine(s) for s in (0, 25, 50)] == pytest.approx([1.0, 0.5 * (1 + math.cos(math.pi / 4)), 0.5])
    assert factor("cosine", min_factor=0.1)(10_000) == pytest.approx(0.1)
