"""LoRA on every architecture: where it lands, how many parameters, what stays frozen."""

import json

import pytest
import torch
from tiny_models import ARCHITECTURES, GPT2_SMALL

from ftcli.config.compose import load
from ftcli.config.registry import lookup
from ftcli.errors import ConfigError
from ftcli.run import meta


def lora(model, seed=0, **fields):
    entry = lookup("peft", "lora")
    return entry.build(entry.config_class(**fields), model, seed=seed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_default_targets_fit_the_real_model(meta_model, architecture):
    model = meta_model(architecture)
    before = {name for name, _ in model.named_parameters()}
    result = lora(model)
    assert result.adapter_names and all("lora_" in name for name in result.adapter_names)
    own = {name.replace(".base_layer.", ".") for name, _ in model.named_parameters()} - result.adapter_names
    assert own == before
    assert not any(
        name.startswith(("classifier", "score", "classification_head")) for name in result.adapter_names
    )


def test_gpt2_has_294_912_adapter_parameters(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(GPT2_SMALL))
    model = meta.build_meta_model(
        load(["model=local", f"model.path={tmp_path}", "model.weights=random"]).config
    )
    result = lora(model, r=8)
    own = dict(model.named_parameters())
    assert sum(own[name].numel() for name in result.adapter_names) == 12 * 8 * (768 + 2304) == 294_912


def test_all_linear_and_named_targets(meta_model):
    every = lora(meta_model("bert"), target_modules=["all-linear"]).adapter_names
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in every} == {
        "query",
        "key",
        "value",
        "dense",
    }
    assert all(name.startswith("bert.") for name in every)
    with pytest.raises(ConfigError) as caught:
        lora(meta_model("bert"), target_modules=["qury"])
    assert caught.value.problems[0].key == "peft.target_modules" and "query" in caught.value.problems[0].hint


def test_seeded_whatever_was_drawn_before(meta_model):
    def adapters(seed: int, drawn: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(drawn)
        model = torch.nn.Module.to_empty(meta_model("bert"), device="cpu")
        result = lora(model, seed=seed)
        return {name: p for name, p in model.named_parameters() if name in result.adapter_names}

    first, again, other = adapters(1, 5), adapters(1, 6), adapters(2, 5)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
