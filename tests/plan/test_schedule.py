"""The default unfreezing schedule: every tensor once, no module split, one phase a block."""

import dataclasses

import pytest
import yaml

from ftcli.plan.anatomy import frozen_modules, read_anatomy
from ftcli.plan.schedule import write_schedule

BLOCKS = {"bert": 2, "roberta": 2, "distilbert": 2, "deberta-v2": 2, "albert": 1, "electra": 2, "gpt2": 2, "opt": 2,
          "llama": 2, "qwen2": 2, "bart": 4}  # fmt: skip


@pytest.mark.parametrize("architecture", BLOCKS)
def test_every_tensor_stands_in_exactly_one_phase(meta_model, architecture):
    model = meta_model(architecture)
    schedule = yaml.safe_load(write_schedule(read_anatomy(model), 5e-5))
    listed = [name for phase in schedule.values() for name in phase["params"]]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())
    assert list(schedule) == list(range(BLOCKS[architecture] + 2))
    assert schedule[0]["lr"] == 5e-5 and all(isinstance(phase["lr"], float) for phase in schedule.values())
    epochs = [phase.get("max_transition_epoch") for phase in schedule.values()]
    assert epochs == [*range(1, len(schedule)), None]


@pytest.mark.parametrize("architecture", BLOCKS)
def test_no_module_is_split_and_the_head_comes_first(meta_model, architecture):
    model = meta_model(architecture)
    schedule = yaml.safe_load(write_schedule(read_anatomy(model), 1e-4))
    owner = {name: number for number, phase in schedule.items() for name in phase["params"]}
    for name in owner:
        siblings = {owner[n] for n in owner if n.rpartition(".")[0] == name.rpartition(".")[0]}
        assert len(siblings) == 1, name
    base = model.base_model_prefix + "."
    assert all(not name.startswith(base) for name in schedule[0]["params"])
    last = schedule[len(schedule) - 1]["params"]
    assert any("embed" in name or name.split(".")[1] in ("wte", "wpe", "shared") for name in last)


def test_tied_tensors_are_listed_once_and_named(meta_model):
    model = meta_model("bart")
    text = write_schedule(read_anatomy(model), 1e-4)
    tied = set(read_anatomy(model).tied)
    assert any("model.shared.weight" in names for names in tied)
    assert "# Tied, listed once: " in text
    assert text.count("    - model.shared.weight") == 1
    assert "embed_tokens.weight\n" not in text.split("\n0:")[1]


def test_wholly_frozen_units_go_to_eval_mode(meta_model):
    model = meta_model("gpt2")
    head = {"score.weight"}
    frozen = frozen_modules(model, head)
    model.train()
    for name in frozen:
        model.get_submodule(name).eval()
    assert not any(m.training for m in model.transformer.modules())
    top = {name for name, _ in model.named_parameters() if name.startswith(("transformer.h.1.", "score"))}
    model.train()
    for name in frozen_modules(model, top):
        model.get_submodule(name).eval()
    assert all(m.training for m in model.transformer.h[1].modules())
    assert not model.transformer.h[0].training and not model.transformer.drop.training
    biases = {name for name, _ in model.named_parameters() if name.endswith("bias")} | head
    model.train()
    for name in frozen_modules(model, biases):
        model.get_submodule(name).eval()
    assert all(m.training for m in model.transformer.h.modules())


def test_no_name_of_the_models_leaves_its_comment(meta_model):
    anatomy = read_anatomy(meta_model("bert"))
    plain = yaml.safe_load(write_schedule(anatomy, 1e-4))
    for sign in ("\n", "\r", "\x85", "\u2028", "\u2029", "\x1b[2J"):
        hostile = dataclasses.replace(anatomy, model_type=f"bert{sign}9: {{params: [x], lr: 1}}")
        text = write_schedule(hostile, 1e-4)
        assert yaml.safe_load(text) == plain and sign not in text.split("phases,")[0]
