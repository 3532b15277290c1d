"""Warmup lengths as typed."""

import pytest

from ftcli.errors import ConfigError
from ftcli.plan.duration import warmup_steps


@pytest.mark.parametrize(
    ("text", "steps"), [("100st", 100), ("1ep", 40), ("0.5ep", 20), ("0.1", 20), ("0", 0), ("1", 200)]
)
def test_lengths(text, steps):
    assert warmup_steps(text, total_steps=200, steps_per_epoch=40) == steps


@pytest.mark.parametrize("text", ["1.5", "x", "10 steps", "-3st", "2.5st", "201st", "6ep"])
def test_nonsense_is_refused_by_key(text):
    with pytest.raises(ConfigError) as caught:
        warmup_steps(text, total_steps=200, steps_per_epoch=40)
    assert caught.value.problems[0].key == "scheduler.warmup" and caught.value.problems[0].hint
