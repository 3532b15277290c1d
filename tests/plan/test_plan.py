"""One-phase plans: groups, hits, refusals."""

import json

import pytest
from plan_values import make_rates

from ftcli.errors import PlanError
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.differences import plan_differences
from ftcli.plan.patterns import Selection
from ftcli.plan.planner import one_phase


@pytest.fixture(scope="module")
def anatomy(meta_model):
    return read_anatomy(meta_model("bert"))


def plan_of(anatomy, **changes):
    selection = Selection(frozenset(anatomy.names), (), "everything trains")
    rates = make_rates(**{k: changes.pop(k) for k in ("lr", "weight_decay", "no_decay") if k in changes})
    return one_phase(anatomy, changes.pop("selection", selection), rates, **changes)


def test_groups_split_every_trained_tensor_once(anatomy):
    decay, spared = plan_of(anatomy).phases[0].groups
    assert sorted(decay.params + spared.params) == sorted(anatomy.names)
    assert decay.weight_decay == 0.1 and spared.weight_decay == 0.0
    assert all(name.endswith(".bias") or "LayerNorm" in name for name in spared.params)
    assert not any(name.endswith(".bias") or "LayerNorm" in name for name in decay.params)


def test_no_decay_takes_full_match_regexes(anatomy):
    plan = plan_of(anatomy, no_decay=[r"bert\.embeddings\..*"])
    spared = plan.phases[0].groups[1]
    assert spared.params == tuple(n for n in anatomy.names if n.startswith("bert.embeddings."))


def test_a_pattern_without_a_hit_is_refused_with_the_full_match_form(anatomy):
    with pytest.raises(PlanError) as caught:
        plan_of(anatomy, no_decay=["LayerNorm"])
    (problem,) = caught.value.problems
    assert problem.key == "optimizer.no_decay" and ".*LayerNorm.*" in problem.hint


def test_a_broken_regex_is_named(anatomy):
    with pytest.raises(PlanError, match="not a regular expression"):
        plan_of(anatomy, no_decay=["bert.(layer"])


def test_candidates_restrict_and_nothing_is_refused(anatomy):
    head = frozenset(anatomy.head.tensors)
    assert set(plan_of(anatomy, candidates=head).phases[0].trainable) == head
    with pytest.raises(PlanError, match="nothing trains"):
        plan_of(anatomy, candidates=frozenset())
    assert plan_of(anatomy, candidates=frozenset(), allow_empty=True).phases[0].groups == ()


def test_a_plan_is_written_as_plain_values(anatomy):
    """plan.json of every run directory has this form: a resume compares with it."""
    data = plan_of(anatomy).to_json()
    assert json.loads(json.dumps(data)) == data
    assert list(data) == ["num_trainable_tensors", "num_trainable_parameters", "trainable_share", "phases", "num_tensors",
                          "num_parameters", "tied", "frozen_units", "start_phase", "decisions"]  # fmt: skip
    (phase,) = data["phases"]
    assert list(phase) == ["index", "trainable", "groups", "hits", "optimizer", "optimizer_values", "scheduler",
                           "scheduler_values", "monitor", "mode", "trigger", "transition",
                           "num_trainable_parameters", "where"]  # fmt: skip
    assert phase["optimizer"] == "adamw" and phase["optimizer_values"]["layerwise"] == {
        "kind": "none", "decay": None, "head_multiplier": 1.0, "table": []}  # fmt: skip
    assert phase["optimizer_values"]["lr"] == 1e-3 and phase["scheduler_values"] == {
        "warmup": "0", "total_steps": None}  # fmt: skip
    assert list(phase["groups"][0]) == ["name", "params", "lr", "weight_decay", "num_parameters"]


def test_a_scaled_lr_may_have_been_written_before_scaling(anatomy):
    now = plan_of(anatomy).to_json()
    now["phases"][0]["optimizer_values"]["scale_lr"] = True
    then = json.loads(json.dumps(now))
    then["phases"][0]["optimizer_values"]["lr"] = 5e-5
    assert plan_differences(then, now) == []
    then["phases"][0]["groups"][0]["lr"] = 5e-5
    assert plan_differences(then, now) != []


def test_half_precision_weights_do_not_train(meta_model):
    import torch

    anatomy = read_anatomy(meta_model("bert").to(torch.float16))
    with pytest.raises(PlanError, match="half-precision"):
        plan_of(anatomy)
