"""One-phase plans: groups, hits, refusals."""

import json

import pytest

from ftcli.errors import PlanError
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.patterns import Selection
from ftcli.plan.plan import Plan
from ftcli.plan.planner import one_phase


@pytest.fixture(scope="module")
def anatomy(meta_model):
    return read_anatomy(meta_model("bert"))


def plan_of(anatomy, **changes):
    selection = Selection(frozenset(anatomy.names), (), "everything trains")
    values = {
        "lr": 1e-3,
        "weight_decay": 0.1,
        "no_decay": ["biases", "norms"],
        "scheduler": "linear",
        "warmup": "0",
    }
    return one_phase(anatomy, changes.pop("selection", selection), **(values | changes))


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


def test_a_plan_survives_json(anatomy):
    plan = plan_of(anatomy)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_half_precision_weights_do_not_train(meta_model):
    import torch

    anatomy = read_anatomy(meta_model("bert").to(torch.float16))
    with pytest.raises(PlanError, match="half-precision"):
        plan_of(anatomy)
