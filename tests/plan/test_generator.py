"""Generated schedules, held against the models themselves: every tensor once, no module split unless asked."""

from __future__ import annotations

import pytest
import tiny_models
import torch
import yaml
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    ConvNextConfig,
    T5Config,
    ViTConfig,
)

from ftcli.config.compose import load
from ftcli.errors import PlanError
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.schedule import default_schedule, write_schedule
from ftcli.run.meta import build_meta_model

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
    assert count == ((len(own) + 1) // 2 if by == "pair" else BLOCKS.get(name, (4, 4))[by == "depth"])
    for phases in {None, 1, 2, 3, count - 1, count}:
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
        head = {n for n in own if not n.startswith(model.base_model_prefix + ".")}
        if by != "pair" and phases != 1:
            assert set(schedule[0]["params"]) == head
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


@pytest.mark.parametrize("name", ALL)
def test_pairs_are_the_reversed_tensors_two_by_two(models, name):
    own = [n for n, _ in models[name].named_parameters()][::-1]
    pairs = [phase.params for phase in default_schedule(read_anatomy(models[name]), 1e-4, by="pair")]
    assert pairs == [tuple(own[i : i + 2]) for i in range(0, len(own), 2)]


@pytest.mark.parametrize("name", ["roberta", "deberta-v3", "distilbert", "electra", "bart", "t5"])
def test_merged_pairs_keep_a_head_of_two_modules_whole(models, name):
    model = models[name]
    head = {n for n, _ in model.named_parameters() if not n.startswith(model.base_model_prefix + ".")}
    count = len(default_schedule(read_anatomy(model), 1e-4, by="pair"))
    assert len(head) == 4
    for phases in (2, 3, count - 1):
        found = default_schedule(read_anatomy(model), 1e-4, by="pair", phases=phases)
        assert len(found) == phases and set(found[0].params) == head
    # Asked for all there are, each pair keeps a phase of its own.
    assert len(default_schedule(read_anatomy(model), 1e-4, by="pair", phases=count)[0].params) == 2


@pytest.mark.parametrize("phases", range(2, 10))
def test_phases_below_the_head_are_merged_evenly(phases):
    config = BertConfig(
        hidden_size=8, num_hidden_layers=7, num_attention_heads=2, intermediate_size=8, vocab_size=9
    )
    with torch.device("meta"):
        anatomy = read_anatomy(AutoModelForSequenceClassification.from_config(config))
    found = default_schedule(anatomy, 1e-4, phases=phases)
    sizes = [len([unit for unit in phase.units if unit != "final"]) for phase in found]
    assert sizes[0] == 1 and sum(sizes) == 9 and max(sizes[1:]) - min(sizes[1:]) <= 1


def test_what_closes_the_encoder_unfreezes_with_its_top_block(models):
    phases = default_schedule(read_anatomy(models["t5"]), 1e-4)
    at = {name: number for number, phase in enumerate(phases) for name in phase.params}
    assert at["transformer.decoder.final_layer_norm.weight"] == 1
    top = "transformer.encoder.block.2.layer.1.layer_norm.weight"
    assert at["transformer.encoder.final_layer_norm.weight"] == at[top] == 3


@pytest.mark.parametrize("name", OTHERS)
def test_config_json_alone_draws_the_classifier_there_is(models, tmp_path, name):
    OTHERS[name][1].save_pretrained(tmp_path)
    model = build_meta_model(load(["model=local", f"model.path={tmp_path}"]).config)
    assert type(model) is type(models[name]) and model.device.type == "meta"
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in models[name].named_parameters()
    }


def test_a_merged_phase_has_the_lr_of_its_uppermost_block(models):
    anatomy = read_anatomy(models["bert"])
    # Head, layer 1, layer 0, embeddings: 0 to 3 blocks below the head, however they are merged.
    rates = {n: [phase.lr for phase in default_schedule(anatomy, 1e-4, phases=n)] for n in (1, 2, 3, 4)}
    assert rates[4] == pytest.approx([1e-4, 0.8e-4, 0.64e-4, 0.512e-4])
    assert rates[3] in (pytest.approx([1e-4, 0.8e-4, 0.64e-4]), pytest.approx([1e-4, 0.8e-4, 0.512e-4]))
    assert rates[2] == pytest.approx([1e-4, 0.8e-4]) and rates[1] == [1e-4]
    assert "uppermost" in write_schedule(anatomy, 1e-4, phases=3)
    assert "uppermost" not in write_schedule(anatomy, 1e-4)


@pytest.mark.parametrize("phases", [0, -1, 5])
def test_a_number_of_phases_that_cannot_be_is_refused(models, phases):
    with pytest.raises(PlanError, match="--phases"):
        default_schedule(read_anatomy(models["bert"]), 1e-4, phases=phases)
