"""Hostile schedule files: refused with the line or resolved against a model, within seconds, and nothing read."""

import time

import pytest
import torch
import transformers
from hostile_schedules import CANARY_VARIABLE, hostile_schedules
from plan_values import make_rates

from ftcli.config.compose import load
from ftcli.config.registry import lookup
from ftcli.errors import FtcliError
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.phase_rates import phase_rates
from ftcli.plan.phased import Defaults, stages_of
from ftcli.plan.written import parse_schedule

CANARY = "canary-5f1c9b"


@pytest.fixture(scope="module")
def anatomy():
    config = transformers.BertConfig(
        num_hidden_layers=3, hidden_size=8, num_attention_heads=2, intermediate_size=8, vocab_size=20
    )
    with torch.device("meta"):
        return read_anatomy(transformers.BertForSequenceClassification(config))


def test_hostile_schedules(anatomy, tmp_path, monkeypatch):
    monkeypatch.setenv(CANARY_VARIABLE, CANARY)
    config = load(["freezing=schedule", "freezing.file=x.yaml"]).config
    resolved = 0
    for name, file in hostile_schedules(tmp_path / "schedules", 90, seed=16):
        began = time.perf_counter()
        try:
            config.freezing.file = str(file)
            schedule = lookup("freezing", "schedule").build(config.freezing, anatomy)
            specs = parse_schedule(schedule.text(1e-3), schedule.origin)
            rates = phase_rates(config, make_rates(), specs)
            shown = repr(stages_of(anatomy, specs, rates, Defaults(None, 0.0, 3.0)))
            resolved += 1
        except FtcliError as error:
            shown = "\n".join(f"{p.key} {p.message} {p.hint}" for p in error.problems)
        assert CANARY not in shown, name
        assert time.perf_counter() - began < 20, name
    assert resolved, "some odd values are fine"
