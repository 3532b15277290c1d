"""What the adapters compute, where they may not go, and how they meet the plan."""

import pytest
import torch
import transformers
from plan_values import make_rates

from ftcli.config.registry import lookup
from ftcli.errors import ConfigError, PlanError
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.planner import one_phase

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40,
    "max_position_embeddings": 20,
}  # fmt: skip


def roberta():
    torch.manual_seed(0)
    return transformers.RobertaForSequenceClassification(transformers.RobertaConfig(**SMALL)).eval()


def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_embd=16, n_layer=2, n_head=2, vocab_size=40, bos_token_id=2, eos_token_id=2
    )
    config.pad_token_id = 0
    return transformers.GPT2ForSequenceClassification(config).eval()


def lora(model, **fields):
    entry = lookup("peft", "lora")
    return entry.build(entry.config_class(**fields), model, seed=3)


def select(name, anatomy, **fields):
    entry = lookup("freezing", name)
    return entry.build(entry.config_class(**fields), anatomy)


def plan_of(model, result, name="none", **fields):
    anatomy = read_anatomy(model)
    candidates = result.adapter_names | set(anatomy.head.tensors)
    return one_phase(
        anatomy, select(name, anatomy, **fields), make_rates(scheduler="constant"), candidates=frozenset(candidates),
    )  # fmt: skip


@pytest.mark.parametrize("make", [roberta, gpt2])
def test_injection_keeps_class_and_output_and_the_global_generator(make):
    model = make()
    ids = torch.arange(3, 13).reshape(2, 5)
    before = model(input_ids=ids).logits
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    result = lora(model)
    assert torch.equal(torch.rand(3), expected)
    assert result.model is model and type(model).__name__.endswith("ForSequenceClassification")
    # B starts at zero: the adapted model is the model.
    assert torch.equal(model.eval()(input_ids=ids).logits, before)


def test_the_adapter_adds_alpha_over_r_times_b_a():
    model = gpt2()
    weight = model.transformer.h[0].attn.c_attn.weight.detach().clone()
    bias = model.transformer.h[0].attn.c_attn.bias.detach().clone()
    lora(model, r=2, lora_alpha=6)
    layer = model.transformer.h[0].attn.c_attn.eval()
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(4, 16)
    torch.testing.assert_close(layer(x), x @ weight + bias + 3.0 * (x @ a.T @ b.T))


def test_the_head_is_never_adapted():
    model = roberta()
    result = lora(model, target_modules=["dense"])
    assert all(name.startswith("roberta.") for name in result.adapter_names)
    assert isinstance(model.classifier.dense, torch.nn.Linear)
    with pytest.raises(ConfigError) as caught:
        lora(roberta(), target_modules=["classifier.out_proj", "query", "valu"])
    assert [p.key for p in caught.value.problems] == ["peft.target_modules"] * 2
    assert "did you mean value?" in caught.value.problems[1].hint


def test_an_unknown_architecture_names_the_modules_that_exist():
    config = transformers.SqueezeBertConfig(**SMALL, embedding_size=16)
    with torch.device("meta"):
        model = transformers.SqueezeBertForSequenceClassification(config)
    with pytest.raises(ConfigError, match="no default for squeezebert") as caught:
        lora(model)
    assert (
        caught.value.problems[0].key == "peft.target_modules"
        and "all-linear" in caught.value.problems[0].hint
    )


def test_adapters_of_a_half_precision_base_are_float32_and_train():
    model = roberta().to(torch.bfloat16)
    result = lora(model)
    dtypes = {name: p.dtype for name, p in model.named_parameters()}
    assert {dtypes[name] for name in result.adapter_names} == {torch.float32}
    # The head is still bfloat16 and would train: the plan refuses it.
    with pytest.raises(PlanError, match="half-precision") as caught:
        plan_of(model, result)
    assert caught.value.problems[0].key == "model.dtype"
    model.classifier.to(torch.float32)
    assert plan_of(model, result).num_trainable_tensors == len(result.adapter_names) + 4
    hidden = model.roberta.encoder.layer[0].attention.self.query(torch.randn(2, 16, dtype=torch.bfloat16))
    assert hidden.dtype == torch.bfloat16


def test_adapters_and_head_train_and_matrices_decay():
    model = roberta()
    result = lora(model)
    plan = plan_of(model, result)
    decay, spared = plan.phases[0].groups
    assert set(decay.params) == result.adapter_names | {
        "classifier.dense.weight",
        "classifier.out_proj.weight",
    }
    assert set(spared.params) == {"classifier.dense.bias", "classifier.out_proj.bias"}
    assert plan.decisions == () and "embeddings" in plan.frozen_units


def test_freezing_under_lora_stops_adapters_and_says_so():
    model = roberta()
    result = lora(model)
    plan = plan_of(model, result, "bottom-layers", num_layers=1)
    assert all(".layer.1." in n for n in plan.phases[0].trainable if n in result.adapter_names)
    assert plan.decisions == ("freezing stops 4 of the 8 adapter tensors from training",)


def test_patterns_know_the_name_without_base_layer():
    model = roberta()
    lora(model)
    pattern = r"roberta\.encoder\.layer\.0\.attention\.self\.query\.(weight|bias)"
    selection = select("patterns", read_anatomy(model), train=[pattern])
    stem = "roberta.encoder.layer.0.attention.self.query.base_layer."
    assert selection.trainable == {stem + "weight", stem + "bias"}


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"r": 0}, "peft.r"),
        ({"lora_alpha": 0}, "peft.lora_alpha"),
        ({"lora_dropout": 1.0}, "peft.lora_dropout"),
        ({"target_modules": []}, "peft.target_modules"),
        ({"target_modules": ["all-linear", "query"]}, "peft.target_modules"),
    ],
)
def test_values_out_of_range_are_problems(fields, key):
    config_class = lookup("peft", "lora").config_class
    assert [p.key for p in config_class(**fields).problems()] == [key]
    assert config_class().problems() == []
