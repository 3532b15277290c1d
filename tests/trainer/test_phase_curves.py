"""The lr of every step of a run of phases, also where it is resumed."""

from __future__ import annotations

import math

import pytest
from phased_runs import HEAD_LAYER_REST, WORDS, agree, lines, stopper

from ftcli.trainer.signals import Interrupted

CURVES = {
    "constant": lambda k, n: 1.0,
    "linear": lambda k, n: (n - k) / n,
    "cosine": lambda k, n: (1 + math.cos(math.pi * k / n)) / 2,
    "polynomial": lambda k, n: ((n - k) / n) ** 2,
    "inverse-sqrt": lambda k, n: (1 + k / 100) ** -0.5,
    "cosine-restarts": lambda k, n: (1 + math.cos(math.pi * (3 * k % n) / n)) / 2,
    "warmup-stable-decay": lambda k, n: (
        1.0 if k < n - math.ceil(n / 5) else 1 - (1 - (n - k) / math.ceil(n / 5)) ** 0.5
    ),
}


@pytest.mark.parametrize("name", CURVES)
def test_the_lr_of_every_step_of_three_phases(phased, name):
    """Behind a warmup of 4 steps each phase follows the formula over the rest of its 20 steps."""
    text = HEAD_LAYER_REST.replace("  scheduler: cosine\n", "").replace("  warmup: 4st\n", "")
    trainer, built = phased(
        text, *WORDS, f"scheduler={name}", "scheduler.warmup=4st", "trainer.log_every_n_steps=1"
    )
    trainer.fit()
    logged = {e["step"]: e["lr"] for e in lines(trainer, "train")}
    assert sorted(logged) == list(range(1, 61))
    for step, rates in logged.items():
        phase, k = built.plan.phases[(step - 1) // 20], (step - 1) % 20
        wsd = name == "warmup-stable-decay"
        factor = (k + 1) / 4 if k < 4 else CURVES[name](k, 20) if wsd else CURVES[name](k - 4, 16)
        assert rates == pytest.approx({g.name: g.lr * factor for g in phase.groups}), step


def test_a_plateau_curve_is_resumed_where_it_stood(phased):
    """The lr has fallen before the interruption, by scores that the resumed process never saw."""
    words = (
        *WORDS,
        "scheduler=plateau",
        "scheduler.patience=0",
        "scheduler.threshold=0.5",
        "trainer.log_every_n_steps=1",
    )
    text = "0: {params: [head], max_steps: 40, lr: 1.0e-3}\n1: {params: [rest], lr: 1.0e-4, patience: 100}"
    whole, _ = phased(text, *words, folder="whole")
    whole.fit()
    rates = {e["step"]: e["lr"]["phase0.decay"] for e in lines(whole, "train")}
    assert rates[30] == pytest.approx(1e-3 * 0.5**3) and rates[41] == pytest.approx(1e-3 / 2)
    first, _ = phased(text, *words, folder="cut")
    first.context.after_step = [stopper(first, 30)]
    with pytest.raises(Interrupted):
        first.fit()
    again, _ = phased(text, *words, folder="cut")
    again.restore(again.context.store.latest())
    again.fit()
    agree(whole, again)
    assert lines(whole, "train")[30:] == lines(again, "train")
