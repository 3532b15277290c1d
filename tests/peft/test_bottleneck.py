"""Bottleneck adapters: where they stand, what they compute, what trains."""

import copy

import pytest
import torch
import transformers
from prompted_models import GROUPED, SIZES

from ftcli.config.registry import lookup
from ftcli.errors import ConfigError
from ftcli.peft.bottleneck import SUBLAYERS, NonLinearity, Placement, _width

OWN = {
    "albert": {**SIZES, "embedding_size": 12},
    "distilbert": {"vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "gpt2": {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24, "pad_token_id": 0,
             "bos_token_id": 1, "eos_token_id": 2},
    "opt": {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 24,
            "word_embed_proj_dim": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    "vit": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
            "image_size": 8, "patch_size": 4},
} | dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), GROUPED)  # fmt: skip


def make(kind, dtype=torch.float32):
    config = transformers.AutoConfig.for_model(kind, **OWN.get(kind, SIZES))
    auto = "AutoModelForImageClassification" if kind == "vit" else "AutoModelForSequenceClassification"
    torch.manual_seed(0)
    model = getattr(transformers, auto).from_config(config, attn_implementation="eager", dtype=dtype)
    return model.eval()


def apply(model, seed=4, **fields):
    entry = lookup("peft", "bottleneck")
    return entry.build(entry.config_class(**fields), model, seed=seed)


def logits(model):
    if model.config.model_type == "vit":
        torch.manual_seed(1)
        inputs = {"pixel_values": torch.randn(2, 3, 8, 8)}
    else:
        ids = torch.arange(5, 17).view(2, 6)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        return model(**inputs).logits.float()


@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("kind", SUBLAYERS)
def test_near_the_identity_and_in_every_block(kind, placement):
    model = make(kind)
    before, base = logits(model), copy.deepcopy(model)
    result = apply(model, placement=placement, reduction_factor=4.0)
    blocks = 1 if kind == "albert" else 2
    places = 2 if placement is Placement.houlsby else 1
    assert len(result.adapter_names) == blocks * places * 4
    own = dict(model.named_parameters())
    assert sum(own[n].numel() for n in result.adapter_names) == blocks * places * (16 * 4 + 4 + 4 * 16 + 16)
    assert {n for n, _ in base.named_parameters()} == own.keys() - result.adapter_names
    near = logits(model)
    assert 0 < (near - before).abs().max() < 2e-2
    with torch.no_grad():
        for name in result.adapter_names:
            own[name].zero_()
    assert torch.equal(logits(model), before)
    with torch.no_grad():  # each adapter is in use, and a copy has its own
        for name in result.adapter_names:
            twin = copy.deepcopy(model)
            if name.endswith("up.bias"):
                twin.get_parameter(name).copy_(torch.linspace(-3, 3, 16))
                assert not torch.equal(logits(twin), before), name
    assert torch.equal(logits(model), before)


def test_houlsby_in_bert_by_hand():
    """Dropout is off; LayerNorm(x + adapter(dense(h))) in both places of the block."""
    model = make("bert")
    result = apply(model, placement=Placement.houlsby, reduction_factor=None, bottleneck_size=3,
                   non_linearity=NonLinearity.gelu)  # fmt: skip
    with torch.no_grad():
        for name in result.adapter_names:
            torch.nn.init.normal_(model.get_parameter(name), std=0.5)
    block = model.bert.encoder.layer[0]

    def adapted(adapter, h):
        inner = torch.nn.functional.gelu(h @ adapter.down.weight.T + adapter.down.bias)
        return h + inner @ adapter.up.weight.T + adapter.up.bias

    x, context = torch.randn(1, 4, 16), torch.randn(1, 4, 16)
    attended = block.attention.output(context, x)
    dense = block.attention.output.dense(context)
    expected = block.attention.output.LayerNorm(x + adapted(block.attention_adapter, dense))
    assert (attended - expected).abs().max() <= 1e-6
    inner = block.intermediate(attended)
    expected = block.output.LayerNorm(attended + adapted(block.output_adapter, block.output.dense(inner)))
    assert (block.output(inner, attended) - expected).abs().max() <= 1e-6


def test_norms_train_where_asked_and_the_head_stays_out():
    names = apply(make("bert"), train_norms=True).adapter_names
    norms = {name for name in names if "adapter" not in name}
    assert "bert.embeddings.LayerNorm.weight" in norms and len(norms) == 2 * (1 + 2 * 2)
    assert all("LayerNorm" in name for name in norms)
    assert not any("LayerNorm" in name for name in apply(make("bert")).adapter_names)


def test_width_values_and_seeds():
    def down(seed=4, drawn=1, **fields):
        model = make("bert")
        torch.manual_seed(drawn)
        expected = torch.get_rng_state()
        apply(model, seed=seed, **fields)
        assert torch.equal(torch.get_rng_state(), expected)
        return model.bert.encoder.layer[1].output_adapter.down.weight

    assert down(reduction_factor=16.0).shape == (1, 16)
    assert down(reduction_factor=100.0).shape == (1, 16)
    assert down(reduction_factor=0.5).shape == (32, 16)
    wide = down(reduction_factor=None, bottleneck_size=500)
    assert wide.abs().max() <= 0.02 and 0.007 < float(wide.detach().std()) < 0.01
    assert torch.equal(down(), down(drawn=2)) and not torch.equal(down(), down(seed=5))


def test_adapters_are_float32_in_a_half_precision_base():
    model = make("bert", torch.bfloat16)
    names = apply(model).adapter_names
    assert {model.get_parameter(name).dtype for name in names} == {torch.float32}
    assert logits(model).isfinite().all()


def test_what_cannot_be_is_refused_with_the_word_to_type():
    def keys(**fields):
        found = lookup("peft", "bottleneck").config_class(**fields).problems()
        assert all(problem.hint for problem in found)
        return [problem.key for problem in found]

    assert keys() == []
    assert keys(bottleneck_size=8) == ["peft.bottleneck_size"]
    assert keys(reduction_factor=None) == ["peft.bottleneck_size"]
    assert keys(reduction_factor=None, bottleneck_size=0) == ["peft.bottleneck_size"]
    assert keys(reduction_factor=0.0) == ["peft.reduction_factor"]
    with pytest.raises(ConfigError, match="makes adapters of inf out of the model's 16"):
        _width(16, 5e-324)
    assert (_width(16, 1e4), _width(16, 0.5)) == (1, 32)
    config = transformers.BartConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=24, decoder_ffn_dim=24, vocab_size=40,
    )  # fmt: skip
    with torch.device("meta"):
        model = transformers.BartForSequenceClassification(config)
    with pytest.raises(ConfigError) as caught:
        apply(model)
    problem = caught.value.problems[0]
    assert problem.key == "peft" and "bart" in problem.message and "gpt2" in problem.hint
