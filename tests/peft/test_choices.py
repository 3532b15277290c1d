"""Targets, blocks, patterns and rates: where adapters land, and what is refused with the word to type."""

import json

import pytest
import tiny_models
import torch
from tiny_models import ARCHITECTURES, GPT2_SMALL, IMAGES
from tiny_runs import build_run, config_of, words_for

from ftcli.config.choice import typed_choice
from ftcli.config.compose import load
from ftcli.config.registry import lookup
from ftcli.errors import ConfigError, PlanError
from ftcli.run import meta
from ftcli.run.meta import stub_inputs
from ftcli.run.model import build_model, saved_names

INJECTED = ["ia3", "vera", "oft", "boft", "loha", "lokr", "miss", "layernorm-tuning"]
LINEAR_ONLY = {"oft", "boft", "loha", "lokr", "miss"}
FIELDS = {"oft": {"oft_block_size": 8}, "miss": {"r": 8}, "vera": {"r": 16}}
KIN = {
    **dict.fromkeys(("camembert", "xlm-roberta", "xlm-roberta-xl"), ARCHITECTURES["roberta"]),
    "mpnet": {name: value for name, value in ARCHITECTURES["roberta"].items() if name != "type_vocab_size"},
    "modernbert": {
        name: value for name, value in ARCHITECTURES["roberta"].items() if name != "type_vocab_size"
    },
}
"""Architectures beside the tiny ones that methods have targets for."""


def inject(model, method, **fields):
    choice = typed_choice("peft", method, fields, "test")
    return lookup("peft", choice.uses).build(choice.config, model, seed=0)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *KIN])
def test_every_method_has_targets_in_every_architecture(meta_model, monkeypatch, architecture):
    """The blocks of 8 fit widths of 32 and 48; GPT-2's Conv1D is refused where peft cannot adapt it."""
    for name, fields in KIN.items():
        monkeypatch.setitem(tiny_models.ARCHITECTURES, name, fields)
    for method in [*INJECTED, "lora", "adalora"]:
        fields = FIELDS.get(method, {})
        model = meta_model(architecture)
        if architecture == "gpt2" and method in LINEAR_ONLY:
            with pytest.raises(ConfigError, match="no Conv1D modules") as caught:
                inject(model, method, **fields)
            assert caught.value.problems[0].hint == "peft=lora"
            continue
        result = inject(model, method, **fields)
        assert result.adapter_names and result.peft_config is not None
        assert all(name.startswith(model.base_model_prefix + ".") for name in result.adapter_names)


@pytest.mark.parametrize("method", ["lora", "ia3", "loha", "layernorm-tuning"])
@pytest.mark.parametrize("architecture", IMAGES)
def test_image_models_have_defaults(meta_model, architecture, method):
    assert inject(meta_model(architecture), method).adapter_names


@pytest.mark.parametrize("method", ["lora", "adalora", "ia3", "vera", "oft", "boft", "loha", "lokr", "miss"])
def test_all_linear_reaches_every_linear_module_of_the_base(meta_model, method):
    result = inject(meta_model("bert"), method, target_modules=["all-linear"], **FIELDS.get(method, {}))
    assert len(result.peft_config.target_modules) == 2 * 6 + 1  # q, k, v, 3 dense a block; the pooler
    assert not any(name.startswith("classifier") for name in result.peft_config.target_modules)


@pytest.mark.parametrize("method", ["lora", "adalora", "ia3"])
def test_all_linear_reaches_gpt2s_conv1d_modules(meta_model, method):
    result = inject(meta_model("gpt2"), method, target_modules=["all-linear"])
    assert (
        len(result.peft_config.target_modules) == 2 * 4
    )  # attention's two and the feed-forward's two a block


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_all_linear_trains_every_adapter(tmp_path, monkeypatch, architecture):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    words = [*words_for(tmp_path, architecture), "optimizer.weight_decay=0"]
    trainer, built = build_run(config_of(words, "lora", target_modules=["all-linear"]), tmp_path / "saved")
    before = {name: p.detach().clone() for name, p in trainer.context.model.named_parameters()}
    for _ in range(3):
        trainer.train_step(trainer.next_rows())
    after = dict(trainer.context.model.named_parameters())
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == built.peft.adapter_names | set(built.anatomy.head.tensors)


def test_ia3_scales_the_inputs_of_feedforward_modules(meta_model):
    config = inject(meta_model("distilbert"), "ia3").peft_config
    assert config.feedforward_modules == {n for n in config.target_modules if n.endswith("ffn.lin2")}
    own = inject(meta_model("bert"), "ia3", target_modules=["key", "query"], feedforward_modules=["key"])
    assert all(name.endswith("key") for name in own.peft_config.feedforward_modules)
    with pytest.raises(ConfigError) as caught:
        inject(meta_model("bert"), "ia3", target_modules=["key"], feedforward_modules=["value"])
    assert caught.value.problems[0].key == "peft.feedforward_modules"


def test_vera_has_one_pair_of_projections_and_checkpoints_hold_it(tmp_path):
    drawn = build_model(stub_inputs(config := config_of(words_for(tmp_path, "bert"), "vera", r=16)))
    shared = {m.vera_A["default"].data_ptr() for m in drawn.model.modules() if hasattr(m, "vera_A")}
    assert len(shared) == 1
    kept = [name for name in saved_names(drawn, config) if ".vera_A." in name or ".vera_B." in name]
    assert len(kept) == 2


@pytest.mark.parametrize("method", ["lora", "adalora", "ia3", "lokr", "layernorm-tuning"])
def test_layers_adapts_those_blocks_only(meta_model, method):
    names = inject(meta_model("bert"), method, layers="-1:").adapter_names
    assert names and all(".layer.1." in name for name in names)


@pytest.mark.parametrize(
    ("layers", "says"), [("-3:", "has 2 layers"), ("top", "no slice"), ("0][1", "no slice")]
)
def test_blocks_that_are_not_there(meta_model, layers, says):
    with pytest.raises(ConfigError, match=says) as caught:
        inject(meta_model("bert"), "lora", layers=layers)
    assert caught.value.problems[0].key == "peft.layers"


def test_patterns_give_targets_their_own_rank_and_alpha(meta_model):
    model = meta_model("bert")
    inject(model, "lora", r=4, lora_alpha=8, rank_pattern=["value: 2", r".*\.layer\.1\..*query: 6"],
           alpha_pattern=["query: 12"])  # fmt: skip
    self = [model.bert.encoder.layer[i].attention.self for i in (0, 1)]
    assert [m.query.r["default"] for m in self] == [4, 6] and self[0].value.r["default"] == 2
    assert self[1].query.scaling["default"] == 12 / 6 and self[1].value.scaling["default"] == 8 / 2


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (["valu: 4"], "none of the targets"),
        (["value: 4", ".*value: 2"], "another entry names too"),
        (["value"], "not MODULE: NUMBER"),
        (["value: 0"], "not MODULE: NUMBER"),
        (["value: 999999999999"], "not MODULE: NUMBER with a whole number from 1 to 16,384"),
    ],
)
def test_patterns_that_mean_nothing_are_refused(meta_model, entries, says):
    with pytest.raises(ConfigError, match=says) as caught:
        inject(meta_model("bert"), "lora", rank_pattern=entries)
    assert caught.value.problems[0].key.endswith("peft.rank_pattern")


@pytest.mark.parametrize(
    ("method", "fields"),
    [("lora", ["r"]), ("adalora", ["init_r", "target_r"]), *((name, ["r"]) for name in ("vera", "loha", "lokr", "miss")),
     ("bottleneck-houlsby", ["bottleneck_size"]), ("prompt-tuning", ["num_virtual_tokens"]), ("prefix-tuning", ["encoder_hidden_size"]),
     ("p-tuning", ["encoder_hidden_size", "encoder_num_layers"])],
)  # fmt: skip
def test_sizes_that_would_take_all_memory_or_hours_are_refused(method, fields):
    words = {
        "prefix-tuning": {"prefix_projection": True},
        "p-tuning": {"encoder_reparameterization_type": "lstm"},
    }
    for name in fields:
        with pytest.raises(ConfigError, match=rf"peft\.{name}: 1000000 is not a whole number from 1 to"):
            typed_choice("peft", method, {**words.get(method, {}), name: 1_000_000}, "test")


def test_rslora_scales_by_the_root_of_the_rank(meta_model):
    model = meta_model("bert")
    inject(model, "rslora", r=16, lora_alpha=8)
    assert model.bert.encoder.layer[0].attention.self.query.scaling["default"] == 8 / 4


@pytest.mark.parametrize("init", ["gaussian", "orthogonal", "pissa", "pissa_niter_16", "olora"])
def test_initialisations_begin_with_the_models_own_answers(tmp_path, init):
    words = words_for(tmp_path, architecture := "gpt2" if init != "olora" else "llama")
    plain = build_model(stub_inputs(config_of(words))).model
    drawn = build_model(stub_inputs(config_of(words, "lora", init_lora_weights=init)))
    ids = torch.arange(3, 13).reshape(2, 5)
    torch.testing.assert_close(drawn.model.eval()(ids).logits, plain.eval()(ids).logits, rtol=0, atol=1e-4)
    factored = init.startswith(("pissa", "olora"))
    weight = {"gpt2": "transformer.h.0.attn.c_attn.base_layer.weight",
              "llama": "model.layers.0.self_attn.q_proj.base_layer.weight"}[architecture]  # fmt: skip
    assert (weight in drawn.peft.changed) == factored
    before = plain.get_parameter(weight.replace(".base_layer", ""))
    assert torch.equal(drawn.model.get_parameter(weight), before) != factored


def test_lora_plus_gives_b_its_own_group(tmp_path):
    config = config_of(words_for(tmp_path, "bert"), "lora-plus", lora_plus_ratio=4)
    groups = {g.name: g for g in build_model(stub_inputs(config), meta=True).plan.phases[0].groups}
    assert all(".lora_B." in name for name in groups["times4.decay"].params)
    assert groups["times4.decay"].lr == pytest.approx(4e-2) and groups["decay"].lr == pytest.approx(1e-2)
    assert not any(".lora_B." in name for name in groups["decay"].params)


def test_gpt2_small_says_its_count_and_share(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(GPT2_SMALL))
    words = ["recipe=sst2-lora", "model=local", f"model.path={tmp_path}", "model.weights=random"]
    plan = build_model(meta.stub_inputs(load(words).config), meta=True).plan
    assert plan.num_trainable_parameters == 294_912 + 2 * 768
    assert f"{plan.trainable_share:.2%}" == "0.24%"


SCHEDULE = """
0: {params: [head], max_steps: 2}
1: {params: ['adapters[-1]'], max_steps: 2, lr: 1.0e-3}
2: {params: ['adapters[:-1]'], max_steps: 2, older_groups: follow}
"""


def test_phases_of_head_top_adapters_and_all(tmp_path, monkeypatch):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    (tmp_path / "phases.yaml").write_text(SCHEDULE)
    words = [*words_for(tmp_path, "bert"), "freezing=schedule", f"freezing.file={tmp_path / 'phases.yaml'}"]
    trainer, built = build_run(config_of(words, "lora-plus", lora_plus_ratio=4), tmp_path / "saved")
    head, adapters = set(built.anatomy.head.tensors), built.peft.adapter_names
    top = {name for name in adapters if ".layer.1." in name}
    expected = [head, head | top, head | adapters]
    assert [set(phase.trainable) for phase in trainer.context.plan.phases] == expected
    rates = {g.name: g.lr for g in trainer.context.plan.phases[1].groups}
    assert rates["phase1.times4.decay"] == pytest.approx(4e-3) and rates["phase1.decay"] == pytest.approx(
        1e-3
    )
    for names in expected:
        before = {name: p.detach().clone() for name, p in trainer.context.model.named_parameters()}
        for _ in range(2):
            trainer.train_step(trainer.next_rows())
        changed = {n for n, p in trainer.context.model.named_parameters() if not torch.equal(p, before[n])}
        assert changed == names
        if names is not expected[-1]:
            trainer.state.phase_ended = "two steps"
            trainer.next_phase()


@pytest.mark.parametrize(("entry", "says"), [("adapters", "no adapters"), ("adapters[9]", "no adapters")])
def test_adapters_where_there_are_none(tmp_path, entry, says):
    (tmp_path / "phases.yaml").write_text(f"0: {{params: ['{entry}']}}\n")
    words = [*words_for(tmp_path, "bert"), "freezing=schedule", f"freezing.file={tmp_path / 'phases.yaml'}"]
    with pytest.raises(PlanError, match=says):
        build_model(stub_inputs(config_of(words)), meta=True)


def test_olora_is_refused_on_conv1d(meta_model):
    with pytest.raises(ConfigError, match="Conv1D") as caught:
        inject(meta_model("gpt2"), "lora", init_lora_weights="olora")
    assert caught.value.problems[0].hint == "peft.init_lora_weights=pissa"


@pytest.mark.parametrize(
    ("method", "fields", "key"),
    [
        ("vera", {"r": 0}, "peft.r"),
        ("vera", {"d_initial": 0.0}, "peft.d_initial"),
        ("oft", {"oft_block_size": 0}, "peft.oft_block_size"),
        ("oft", {"module_dropout": 1.0}, "peft.module_dropout"),
        ("boft", {"boft_dropout": -0.1}, "peft.boft_dropout"),
        ("loha", {"alpha": 0}, "peft.alpha"),
        ("lokr", {"decompose_factor": 0}, "peft.decompose_factor"),
        ("miss", {"r": 0}, "peft.r"),
        ("ia3", {"target_modules": []}, "peft.target_modules"),
        ("layernorm-tuning", {"target_modules": ["all-linear"]}, "peft.target_modules"),
        ("lora-plus", {"lora_plus_ratio": 0.0}, "peft.lora_plus_ratio"),
        ("lora", {"init_lora_weights": "orthogonal", "r": 3}, "peft.r"),
        ("dora", {"init_lora_weights": "pissa"}, "peft.init_lora_weights"),
        ("oft", {"oft_block_size": 24}, "peft.oft_block_size"),
        ("boft", {"boft_block_size": 5}, "peft.boft_block_size"),
        ("boft", {"boft_block_size": 2**31 - 1}, "peft.boft_block_size"),
        ("miss", {"r": 33}, "peft"),
        ("pissa", {"r": 33}, "peft.r"),
        ("layernorm-tuning", {"target_modules": ["query"]}, "peft.target_modules"),
    ],
)
def test_wrong_values_are_refused_by_name(meta_model, method, fields, key):
    with pytest.raises(ConfigError) as caught:
        inject(meta_model("bert"), method, **fields)
    assert caught.value.problems[0].key.removeprefix("test: ") == key
