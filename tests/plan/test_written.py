"""Schedule files: what is read, and what is refused, each with its line."""

from __future__ import annotations

import pytest

from ftcli.errors import PlanError
from ftcli.plan.written import parse_schedule

GOOD = """\
0:
  params: [head]
  max_transition_epoch: 2
  lr: 1e-3
1:
  params:
    - bert.encoder.layer.1.attention.self.query.weight
    - 'layers[8:12]'
  except: [norms]
  freeze: [head]
  max_epochs: 1.5
  max_steps: 30
  monitor: loss
  mode: min
  patience: 2
  min_delta: 0.01
  plateau_slope: 1e-4
  plateau_window: 4
  warmup: 0.1
  scheduler: {name: cosine, min_factor: 0.1}
  optimizer: sgd
  weight_decay: 0
  layerwise: {kind: geometric, decay: 0.9}
  older_groups: follow
  restore_best: false
  best: reset
  moments: reset
"""


def test_every_key_is_read():
    first, second = parse_schedule(GOOD, "s.yaml")
    assert (first.index, first.where, first.max_transition_epoch, first.lr) == (0, "s.yaml:1", 2, 1e-3)
    assert [entry.text for entry in second.params][1] == "layers[8:12]" and second.params[
        1
    ].where == "s.yaml:8"
    assert [entry.text for entry in second.except_] == ["norms"] and [
        entry.text for entry in second.freeze
    ] == ["head"]
    assert (second.max_epochs, second.max_steps, second.monitor, second.mode) == (1.5, 30, "loss", "min")
    assert (second.patience, second.min_delta, second.plateau_slope, second.plateau_window) == (
        2,
        0.01,
        1e-4,
        4,
    )
    assert second.warmup == "0.1" and second.weight_decay == 0.0
    assert second.scheduler.name == "cosine" and second.scheduler.values == {"min_factor": 0.1}
    assert second.optimizer.name == "sgd" and second.layerwise == {"kind": "geometric", "decay": 0.9}
    assert (second.older_groups, second.restore_best, second.best, second.moments) == (
        "follow",
        False,
        "reset",
        "reset",
    )


@pytest.mark.parametrize(("text", "words"), [
    ("", ["s.yaml", "no phases"]),
    ("- head", ["no phases"]),
    ("0: {params: [head]", ["s.yaml:1", "not valid YAML"]),
    ("a: {params: [head]}", ["s.yaml:1", "'a'"]),
    ("0: {params: [head]}\n2: {params: [rest]}", ["phase 1 is missing"]),
    ("1: {params: [head]}", ["phase 0 is missing"]),
    ("0: {params: [head]}\n0: {params: [rest]}", ["s.yaml:2", "written twice, first at s.yaml:1"]),
    ("0:\n  params: [head]\n  max_transition_epochs: 3", ["s.yaml:3", "max_transition_epochs", "max_transition_epoch"]),
    ("0:\n  params: [head]\n  lr: 1\n  lr: 2", ["s.yaml:4", "written twice, first at s.yaml:3"]),
    ("0:\n  params: head", ["s.yaml:2", "'head' is not a list"]),
    ("0:\n  params: []", ["s.yaml:2", "empty"]),
    ("0: {lr: 1e-3}", ["no params"]),
    ("0: [head]", ["s.yaml:1", "not a mapping"]),
    ("0:\n  params: [layers[1:2]]", ["s.yaml:2"]),
    ("0:\n  params: [head]\n  lr: fast", ["s.yaml:3: lr", "'fast'"]),
    ("0:\n  params: [head]\n  lr: -1.0", ["s.yaml:3: lr", "above 0"]),
    ("0:\n  params: [head]\n  lr: '1e-3'", ["s.yaml:3: lr"]),
    ("0:\n  params: [head]\n  max_transition_epoch: 0", ["s.yaml:3", "at least 1"]),
    ("0:\n  params: [head]\n  max_transition_epoch: 1.5", ["s.yaml:3", "whole number"]),
    ("0:\n  params: [head]\n  patience: true", ["s.yaml:3"]),
    ("0:\n  params: [head]\n  warmup: soon", ["s.yaml:3: warmup", "not a length"]),
    ("0:\n  params: [head]\n  best: keep", ["s.yaml:3: best", "carry or reset"]),
    ("0:\n  params: [head]\n  restore_best: yes", ["s.yaml:3: restore_best"]),
    ("0:\n  params: [head]\n  scheduler: [cosine]", ["s.yaml:3: scheduler"]),
    ("0:\n  params: [head]\n  max_epochs: 1\n  max_transition_epoch: 2", ["s.yaml:4", "keep one"]),
    ("0:\n  params: [head]\n  new_optimizer: {class_path: torch.optim.SGD}", ["new_optimizer", "optimizer_init"]),
    ("0:\n  params: [head]\n  new_optimizer:\n    optimizer_init: {class_path: os.system}", ["os.system"]),
    ("0:\n  params: [head]\n  new_optimizer:\n    optimizer_init:\n      class_path: torch.optim.AdamW\n      init_args: {amsgrad: true}", ["amsgrad"]),
    ("0:\n  params: [head]\n  new_lr_scheduler:\n    lr_scheduler_init: {class_path: torch.optim.lr_scheduler.LinearLR}\n    init_pg_lrs: [1]", ["init_pg_lrs"]),
])  # fmt: skip
def test_refusals(text, words):
    with pytest.raises(PlanError) as caught:
        parse_schedule(text, "s.yaml")
    shown = "\n".join(f"{p.key} {p.message} {p.hint}" for p in caught.value.problems)
    assert all(word in shown for word in words), shown


def test_all_problems_come_at_once():
    with pytest.raises(PlanError) as caught:
        parse_schedule(
            "0: {params: [head], lr: x, patience: 0}\n1: {parms: [rest]}\n3: {params: [rest]}", "s"
        )
    assert len(caught.value.problems) >= 5


def test_a_file_of_finetuning_scheduler():
    """Its own keys: -1 for no epoch, class paths by the table, pg options said and left."""
    text = """
0:
  params:
  - model.classifier.bias
  max_transition_epoch: -1
1:
  params: ['model.bert.pooler.dense.(weight|bias)']
  max_transition_epoch: 3
  lr: 1.0e-05
  new_optimizer:
    optimizer_init:
      class_path: torch.optim.SGD
      init_args: {lr: 2.0e-3, momentum: 0.9, weight_decay: 2.0e-6}
  new_lr_scheduler:
    lr_scheduler_init:
      class_path: torch.optim.lr_scheduler.CosineAnnealingLR
      init_args: {T_max: 3, eta_min: 0}
    pl_lrs_cfg: {interval: epoch, frequency: 1, name: x}
    use_current_optimizer_pg_lrs: true
"""
    first, second = parse_schedule(text, "fts.yaml")
    assert first.max_transition_epoch is None
    assert second.optimizer.name == "sgd" and second.optimizer.values == {
        "momentum": 0.9,
        "weight_decay": 2e-6,
    }
    assert second.scheduler.name == "cosine" and second.scheduler.values == {}
    said = "\n".join(second.notes)
    assert all(word in said for word in ("read as optimizer=sgd", "lr=0.002", "T_max=3", "pl_lrs_cfg"))


def test_a_length_without_a_unit_is_answered_in_the_file_s_own_words():
    with pytest.raises(PlanError) as caught:
        parse_schedule("0:\n  params: [head]\n  warmup: 3\n", "s.yaml")
    (problem,) = caught.value.problems
    assert problem.key == "s.yaml:3: warmup" and problem.hint.startswith("warmup: 3st")
