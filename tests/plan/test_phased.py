"""Phases against a model: named groups, conflicts, what each phase trains and how hard; random schedules."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_values import make_rates

from ftcli.config.schema import LayerwiseConfig, LayerwiseKind
from ftcli.errors import PlanError
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.differences import plan_differences
from ftcli.plan.phased import Defaults, stages_of
from ftcli.plan.plan import Plan, Trigger
from ftcli.plan.planner import make_plan
from ftcli.plan.rates import layerwise_problems, multipliers
from ftcli.plan.selectors import select
from ftcli.plan.written import parse_schedule


@pytest.fixture(scope="module")
def anatomy(meta_model):
    return read_anatomy(meta_model("bert"))


def plan_of(
    anatomy, text: str, *, patience=None, candidates=None, epochs=10.0, only=False, layerwise=None, **rates
) -> Plan:
    specs = parse_schedule(text, "s")
    base = {"layerwise": layerwise} | rates
    own = [make_rates(**base | ({"lr": spec.lr} if spec.lr else {})) for spec in specs]
    staged = stages_of(anatomy, specs, own, Defaults(patience, 0.0, epochs, only), candidates=candidates)
    return make_plan(anatomy, staged.stages, decisions=staged.notes)


def refused(anatomy, text: str, **kwargs) -> str:
    with pytest.raises(PlanError) as caught:
        plan_of(anatomy, text, **kwargs)
    return "\n".join(f"{p.key} {p.message} {p.hint}" for p in caught.value.problems)


def under(anatomy, *prefixes: str) -> set[str]:
    return {name for name in anatomy.names if name.startswith(prefixes)}


def test_named_groups(anatomy):
    def chosen(entry):
        found = select(anatomy, entry, key="k", action="train")
        assert not found.problems, found.problems
        return set(found.names)

    layers = [under(anatomy, f"bert.encoder.layer.{i}.") for i in range(2)]
    assert chosen("head") == under(anatomy, "classifier") and chosen("final") == under(anatomy, "bert.pooler")
    assert chosen("embeddings") == under(anatomy, "bert.embeddings") and chosen("all") == set(anatomy.names)
    assert chosen("layers") == layers[0] | layers[1] == chosen("layers[:]") == chosen("layers[0:2]")
    assert (
        chosen("layers[1]")
        == chosen("layers[-1]")
        == chosen("layers[-1:]")
        == chosen("layers[1:]")
        == layers[1]
    )
    assert chosen("biases") == {n for n in anatomy.names if n.endswith(".bias")}
    assert chosen("norms") == {n for n in anatomy.names if "LayerNorm" in n}
    assert (
        select(anatomy, "rest", key="k", action="train", taken=frozenset(layers[0])).names
        == set(anatomy.names) - layers[0]
    )
    assert chosen(r"bert\.encoder\.layer\.0\..*") == layers[0]


@pytest.mark.parametrize("entry", ["layers[2]", "layers[0:3]", "layers[-3]", "layers[1:1]", "layers[]"])
def test_layers_that_are_not_there(anatomy, entry):
    found = select(anatomy, entry, key="k", action="train")
    assert found.problems and (
        "2 layers" in found.problems[0].message or "no slice" in found.problems[0].message
    )


def test_a_pattern_in_the_middle_is_refused_with_its_full_form(anatomy):
    shown = refused(anatomy, "0:\n  params: ['encoder.layer.1']")
    assert "s:2" in shown and "whole name" in shown and ".*encoder.layer.1.*" in shown


def test_the_module_attribute_of_lightning_files_is_stripped_and_said(anatomy):
    plan = plan_of(
        anatomy,
        "0:\n  params: [model.classifier.bias]\n1:\n  params: ['model.bert.pooler.dense.(weight|bias)']",
    )
    assert plan.phases[0].trainable == ("classifier.bias",)
    assert len(plan.phases[1].trainable) == 3 and sum("model.` is" in line for line in plan.decisions) == 2


def test_phases_are_cumulative_and_frozen_ones_leave(anatomy):
    text = "0: {params: [head]}\n1: {params: ['layers[1]'], except: [norms]}\n2: {params: [rest], freeze: [head]}"
    plan = plan_of(anatomy, text)
    head, top = under(anatomy, "classifier"), under(anatomy, "bert.encoder.layer.1.")
    norms = {n for n in top if "LayerNorm" in n}
    assert set(plan.phases[0].trainable) == head
    assert set(plan.phases[1].trainable) == head | (top - norms)
    assert set(plan.phases[2].trainable) == set(anatomy.names) - head


def test_conflicts(anatomy):
    assert "trains since phase 0" in refused(anatomy, "0: {params: [head]}\n1: {params: [all]}")
    assert "names too" in refused(anatomy, "0: {params: [head, classifier.bias]}")
    assert "does not train" in refused(anatomy, "0: {params: [head], freeze: [embeddings]}")
    assert "trains and freezes" in refused(anatomy, "0: {params: [head], freeze: [head]}")
    assert "'rest' is empty" in refused(anatomy, "0: {params: [all]}\n1: {params: [rest]}")
    assert "leaves nothing" in refused(anatomy, "0: {params: [head], except: [head]}")
    assert "nothing trains in phase 1" in refused(anatomy, "0: {params: [head]}\n1: {freeze: [head]}")


def test_ends(anatomy):
    text = "0: {params: [head]}\n1: {params: [final], max_steps: 5}\n2: {params: [embeddings], patience: 7}"
    assert [p.trigger.patience for p in plan_of(anatomy, text).phases] == [3, None, 7]
    assert [p.trigger.patience for p in plan_of(anatomy, text, patience=2).phases] == [2, 2, 7]
    counted = "0: {params: [head], max_transition_epoch: 12}\n1: {params: [final], max_epochs: 1}"
    plan = plan_of(anatomy, counted, patience=2, only=True)
    assert [p.trigger.patience for p in plan.phases] == [None, None]
    assert any("until epoch 12" in line for line in plan.decisions)
    assert "no count" in refused(anatomy, "0: {params: [head]}\n1: {params: [rest]}", only=True)
    assert plan_of(anatomy, "0: {params: [head]}", only=True).phases[0].end == "end of run"
    assert "patience ends a phase by scores" in refused(
        anatomy, "0: {params: [head], patience: 2, max_steps: 1}", only=True
    )


@pytest.mark.parametrize(("trigger", "start", "expected"), [
    (Trigger(), 0, 100),
    (Trigger(max_steps=7), 13, 7),
    (Trigger(max_epochs=1.5), 13, 15),
    (Trigger(max_transition_epoch=3), 13, 17),
    (Trigger(max_transition_epoch=3), 35, 5),  # past already: the rest of an epoch
    (Trigger(max_transition_epoch=3, max_steps=4), 13, 4),
    (Trigger(max_epochs=50), 95, 5),
])  # fmt: skip
def test_limits(trigger, start, expected):
    assert trigger.limit(start=start, steps_per_epoch=10, total_steps=100) == expected
    for step in range(start + 1, start + expected + 1):
        ended = bool(trigger.reason(start=start, step=step, steps_per_epoch=10))
        assert ended == (step == start + expected and start + expected < 100)


def test_layerwise_multipliers_by_hand(anatomy):
    found, _ = multipliers(
        anatomy, LayerwiseConfig(kind=LayerwiseKind.geometric, decay=0.5, head_multiplier=4)
    )
    names = ["classifier.weight", "bert.pooler.dense.weight", "bert.encoder.layer.1.output.dense.bias",
             "bert.encoder.layer.0.output.dense.bias", "bert.embeddings.LayerNorm.bias"]  # fmt: skip
    assert [found[n] for n in names] == [4, 0.5, 0.5, 0.25, 0.125]
    found, _ = multipliers(anatomy, LayerwiseConfig(kind=LayerwiseKind.cosine, decay=0.2))
    expected = [0.2 + 0.8 * math.sin(math.pi * level / 6) ** 2 for level in (3, 2, 2, 1, 0)]
    assert [found[n] for n in names] == pytest.approx(expected)
    found, problems = multipliers(
        anatomy, LayerwiseConfig(kind=LayerwiseKind.table, table=["head: 10", "layers[0]: 0.1"])
    )
    assert not problems and [found.get(n, 1.0) for n in names] == [10, 1, 1, 0.1, 1]
    for table in (("head",), ("head: x",), ("head: 0",), ("hed: 1",), ("head: 1", "classifier.bias: 2")):
        assert multipliers(anatomy, LayerwiseConfig(kind=LayerwiseKind.table, table=list(table)))[1], table


def test_layerwise_ranges():
    def keys(kind="none", **fields):
        fields["kind"] = LayerwiseKind(kind)
        return [p.key.rpartition(".")[2] for p in layerwise_problems(LayerwiseConfig(**fields))]

    assert keys() == [] and keys(kind="cosine", decay=0.5) == []
    assert keys(decay=0.5) == ["decay"] and keys(kind="geometric", decay=0.0) == ["decay"]
    assert keys(kind="geometric", decay=1.5) == ["decay"] and keys(head_multiplier=0.0) == ["head_multiplier"]
    assert keys(kind="table") == ["table"] and keys(table=["head: 1"]) == ["table"]


def test_older_groups_keep_or_follow(anatomy):
    text = "0: {params: [head], lr: 1e-2}\n1: {params: [rest], lr: 1e-4"
    kept, follow = plan_of(anatomy, text + "}"), plan_of(anatomy, text + ", older_groups: follow}")
    assert {g.name: g.lr for g in kept.phases[1].groups} == {
        "phase0.decay": 1e-2, "phase0.no-decay": 1e-2, "phase1.decay": 1e-4, "phase1.no-decay": 1e-4}  # fmt: skip
    assert {g.name: g.lr for g in follow.phases[1].groups} == {"phase1.decay": 1e-4, "phase1.no-decay": 1e-4}


def test_peft_restricts_and_an_empty_phase_is_left_out(anatomy):
    head = frozenset(anatomy.head.tensors)
    text = "0: {params: [embeddings]}\n1: {params: [head]}"
    plan = plan_of(anatomy, text, candidates=head)
    assert len(plan.phases) == 1 and set(plan.phases[0].trainable) == head
    assert any("left out" in line for line in plan.decisions)


def test_a_changed_plan_is_named(anatomy):
    first = plan_of(anatomy, "0: {params: [head], max_steps: 5}\n1: {params: [rest]}").to_json()
    for text, word in (
        ("0: {params: [head], max_steps: 5}", "2 phases were planned"),
        ("0: {params: [head], max_steps: 6}\n1: {params: [rest]}", "trigger.max_steps was 5, is 6"),
        ("0: {params: [head, final], max_steps: 5}\n1: {params: [rest]}", "2 tensors more train"),
        (
            "0: {params: [head], max_steps: 5}\n1: {params: [rest], lr: 1e-5}",
            "optimizer_values.lr was 0.001, is 1e-05",
        ),
        ("0: {params: [head], max_steps: 5}\n1: {params: [rest], best: reset}", "transition.keep_best"),
    ):
        assert word in "\n".join(plan_differences(first, plan_of(anatomy, text).to_json())), text
    same = plan_of(anatomy, "0: {params: [head], max_steps: 5}\n1: {params: [rest], patience: 9}").to_json()
    assert plan_differences(first, same) == []


@settings(max_examples=1000, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 5),
    kind=st.sampled_from(["none", "geometric", "cosine"]),
    head=st.sampled_from([1.0, 10.0]),
)
def test_random_schedules_keep_the_invariants(anatomy, seed, count, kind, head):
    """Every phase trains exactly what was named and not frozen since, each tensor in one group, biases undecayed."""
    draw = random.Random(seed)
    names = list(anatomy.names)
    draw.shuffle(names)
    cuts = sorted(draw.sample(range(1, len(names)), count))
    lines, expected, training, left = [], [], set(), []
    begun: dict[str, int] = {}
    for index in range(count):
        own = names[cuts[index - 1] if index else 0 : cuts[index]]
        drop = [n for n in sorted(training) if draw.random() < 0.2][: max(len(training) - 1, 0)]
        training = (training | set(own)) - set(drop)
        begun |= dict.fromkeys(own, index)
        expected.append(set(training))
        left.append(10.0 ** -draw.randint(2, 6))
        lines += [
            f"{index}:",
            f"  params: [{', '.join(own)}]",
            f"  lr: {left[-1]}",
            f"  max_steps: {index + 1}",
        ]
        lines += [f"  freeze: [{', '.join(drop)}]"] if drop else []
    layerwise = LayerwiseConfig(kind=LayerwiseKind(kind), head_multiplier=head)
    plan = plan_of(anatomy, "\n".join(lines), layerwise=layerwise)
    factors, _ = multipliers(anatomy, layerwise)
    for phase, wanted in zip(plan.phases, expected, strict=True):
        assert set(phase.trainable) == wanted
        grouped = [name for group in phase.groups for name in group.params]
        assert sorted(grouped) == sorted(wanted) and all(group.params for group in phase.groups)
        assert len({group.name for group in phase.groups}) == len(phase.groups)
        for group in phase.groups:
            for name in group.params:
                assert group.lr == pytest.approx(left[begun[name]] * factors[name])
                plain = name.endswith("bias") or "LayerNorm" in name
                assert group.weight_decay == (0.0 if plain else 0.1)
