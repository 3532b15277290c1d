"""One path from the typed configuration to a phase: values are typed and validated as the run is planned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftcli.config.compose import load
from ftcli.config.schema import LayerwiseKind
from ftcli.errors import PlanError
from ftcli.optimizer.sgd import SgdConfig
from ftcli.plan.from_config import run_rates
from ftcli.plan.phase_rates import parse_layerwise, phase_rates
from ftcli.plan.written import parse_schedule


def rates_of(text: str, *overrides: str):
    config = load(list(overrides)).config
    return config, phase_rates(config, run_rates(config), parse_schedule(text, "s.yaml"))


def test_a_phase_that_says_nothing_has_the_run_s_own_configuration():
    config, (rates,) = rates_of("0: {params: [head]}", "optimizer.betas=[0.8,0.9]", "scheduler=cosine")
    assert rates.optimizer.config == config.optimizer and rates.optimizer.config.betas == [0.8, 0.9]
    assert rates.scheduler.config == config.scheduler and rates.scheduler.name == "cosine"


def test_what_a_phase_writes_replaces_single_values():
    text = "0: {params: [head], lr: 1e-2, weight_decay: 0.3, warmup: 3st, layerwise: {kind: geometric}}\n1: {params: [rest]}"
    config, (first, second) = rates_of(text)
    own = first.optimizer.config
    assert replace(own, lr=0, weight_decay=0, layerwise=None) == replace(
        config.optimizer, lr=0, weight_decay=0, layerwise=None
    )
    assert (own.lr, own.weight_decay, own.layerwise.kind) == (1e-2, 0.3, LayerwiseKind.geometric)
    assert first.scheduler.config == replace(config.scheduler, warmup="3st")
    assert second.optimizer.config == config.optimizer and second.scheduler.config == config.scheduler


def test_another_optimizer_holds_until_the_next_and_keeps_the_run_s_lr():
    text = "0: {params: [head], optimizer: {name: sgd, momentum: 0.5}}\n1: {params: [rest], lr: 1e-3}"
    config, (first, second) = rates_of(text, "optimizer.lr=4e-4")
    assert isinstance(first.optimizer.config, SgdConfig) and first.optimizer.uses == "sgd"
    assert (first.optimizer.config.lr, second.optimizer.config.lr) == (4e-4, 1e-3)
    assert second.optimizer.config == replace(first.optimizer.config, lr=1e-3)
    assert first.optimizer.config.momentum == 0.5 and first.optimizer.config.weight_decay == 1e-4


def test_the_lr_is_scaled_once():
    published = ["model.published.lr=3e-5", "model.published.batch_size=16", "trainer.batch_size=32"]
    _, (first, second) = rates_of(
        "0: {params: [head]}\n1: {params: [rest], lr: 1e-3}", "optimizer.scale_lr=true", *published
    )
    assert (first.optimizer.config.lr, second.optimizer.config.lr) == (3e-5 * 32 / 16, 1e-3)


def test_a_value_that_its_scheduler_does_not_take_is_found_as_the_run_is_planned():
    with pytest.raises(PlanError) as caught:
        rates_of("0: {params: [head]}\n1: {params: [rest], warmup: 3st}\n", "scheduler=one-cycle")
    (problem,) = caught.value.problems
    assert problem.key == "s.yaml:2: scheduler.warmup" and "rises by itself" in problem.message


def test_layerwise_mistakes_are_named_with_their_own_line():
    text = "0:\n  params: [head]\n  layerwise: {kind: geometric, decay: 2}\n"
    (spec,) = parse_schedule(text, "s.yaml")
    _, problems = parse_layerwise(spec.layerwise, spec.at("layerwise"))
    assert [(p.key, p.hint) for p in problems] == [("s.yaml:3: layerwise.decay", "layerwise.decay: 0.8")]
