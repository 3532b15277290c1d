"""Generated schedules, held against the models themselves: every tensor once, no module split unless asked."""

from __future__ import annotations

import pytest
import tiny_models
import yaml
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    ConvNextConfig,
    T5Config,
    ViTConfig,
)

from ftcli.errors import PlanError
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.schedule import default_schedule, write_schedule

EXTRA = {
    "deberta-v3": ("deberta-v2", {"position_biased_input": False, "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm"}),
    "electra-projected": ("electra", {"embedding_size": 16}),
}  # fmt: skip
OTHERS = {
    "t5": (AutoModelForSequenceClassification, T5Config(d_model=16, d_kv=8, d_ff=24, num_layers=3, num_decoder_layers=2, num_heads=2, vocab_size=40)),
    "vit": (AutoModelForImageClassification, ViTConfig(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=4)),
    "convnext": (AutoModelForImageClassification, ConvNextConfig(hidden_sizes=[8, 16, 24], depths=[1, 2, 1], num_stages=3, image_size=32)),
}  # fmt: skip
ALL = (*tiny_models.ARCHITECTURES, *EXTRA, *OTHERS)
# Phases by block and by depth: the head, the blocks (stages for ConvNeXt), the embeddings.
BLOCKS = {"albert": (3, 3), "bart": (6, 4), "t5": (7, 5), "vit": (5, 5), "convnext": (5, 5)}


@pytest.fixture(scope="module")
def models():
    import torch
    from transformers import CONFIG_MAPPING

    found = {}
    for name in ALL:
        if name in OTHERS:
            auto, config = OTHERS[name]
        else:
            kind, changes = EXTRA.get(name, (name, {}))
            auto = AutoModelForSequenceClassification
            config = CONFIG_MAPPING[kind](vocab_size=40, **(tiny_models.ARCHITECTURES[kind] | changes))
        with torch.device("meta"):
            found[name] = auto.from_config(config)
    return found


@pytest.mark.parametrize("by", ["block", "depth", "pair"])
@pytest.mark.parametrize("name", ALL)
def test_every_tensor_once_and_no_module_split(models, name, by):
    model = models[name]
    own = [n for n, _ in model.named_parameters()]
    count = len(default_schedule(read_anatomy(model), 1e-4, by=by))
    if by != "pair":
        assert count == BLOCKS.get(name, (4, 4))[by == "depth"]
    for phases in {None, 1, 2, 3, count}:
        text = write_schedule(read_anatomy(model), 1e-4, by=by, phases=phases)
        schedule = yaml.safe_load(text)
        assert list(schedule) == list(range(phases or count))
        phase_of = {n: number for number, phase in schedule.items() for n in phase["params"]}
        assert sorted(phase_of) == sorted(own)
        assert sum(len(phase["params"]) for phase in schedule.values()) == len(own)
        if by != "pair":
            for n in own:
                siblings = {phase_of[m] for m in own if m.rpartition(".")[0] == n.rpartition(".")[0]}
                assert len(siblings) == 1, n
        rates = [phase["lr"] for phase in schedule.values()]
        # Pairs follow registration, which is not the order of depth everywhere.
        assert by == "pair" or (rates == sorted(rates, reverse=True) and rates[0] == 1e-4)
        assert [p.get("max_transition_epoch") for p in schedule.values()] == [*range(1, len(schedule)), None]


def test_parameter_counts_stand_in_the_comments(models):
    model = models["gpt2"]
    text = write_schedule(read_anatomy(model), 1e-4)
    counts = [int(line.rsplit(":", 1)[1].split()[0].replace(",", "")) for line in text.splitlines()
              if line.startswith("# ") and line.endswith(" parameters")]  # fmt: skip
    assert sum(counts) == sum(p.numel() for p in model.parameters())


def test_depth_puts_both_stacks_side_by_side(models):
    phases = default_schedule(read_anatomy(models["t5"]), 1e-4, by="depth")
    assert phases[1].units[:2] == ("transformer.decoder.block.1", "transformer.encoder.block.2")
    assert phases[3].units == ("transformer.encoder.block.0",)


def test_the_lowest_lr_does_not_depend_on_the_number_of_phases(models):
    anatomy = read_anatomy(models["bert"])
    assert default_schedule(anatomy, 1e-4)[-1].lr == pytest.approx(1e-4 * 0.8**3)
    assert default_schedule(anatomy, 1e-4, phases=2)[1].lr == pytest.approx(1e-4 * 0.8)


@pytest.mark.parametrize("phases", [0, -1, 5])
def test_a_number_of_phases_that_cannot_be_is_refused(models, phases):
    with pytest.raises(PlanError, match="--phases"):
        default_schedule(read_anatomy(models["bert"]), 1e-4, phases=phases)
