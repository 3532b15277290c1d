"""The mean and the spread of labels, moved into a model's last layers."""

from __future__ import annotations

import pytest
import torch
from tiny_weights import tiny_config

from ftcli.errors import ConfigError
from ftcli.model.output_scale import can_hold_mean, fold, last_linear, unfold

IDS = torch.tensor([[4, 9, 2], [7, 5, 2]])  # ends in BART's end of text


def tiny(architecture: str):
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

    if architecture in ("gpt_neox", "openai-gpt", "bloom", "ctrl"):
        config = CONFIG_MAPPING[architecture](vocab_size=48, hidden_size=32, n_embd=32, num_hidden_layers=2, n_layer=2, n_head=2, dff=48,
                                              num_attention_heads=2, intermediate_size=48, initializer_range=0.2)  # fmt: skip
    else:
        config = tiny_config(architecture)
    config.num_labels, config.pad_token_id = 1, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.mark.parametrize(
    "architecture", ["bert", "distilbert", "deberta-v2", "bart", "gpt2", "opt", "gpt_neox", "openai-gpt", "bloom", "ctrl"]
)  # fmt: skip
def test_a_model_takes_the_unit_of_the_labels_and_gives_it_back(architecture):
    """Years of a mean of 2000 and a standard deviation of 10; 32-bit numbers near 2000 are 1e-4 apart."""
    model = tiny(architecture)
    names = set(model.state_dict())
    assert can_hold_mean(model)
    with torch.no_grad():
        before = model(IDS).logits
        fold(model, 2000.0, 10.0)
        torch.testing.assert_close(model(IDS).logits, before * 10 + 2000, rtol=0, atol=1e-3)
        unfold(model, 2000.0, 10.0)
        torch.testing.assert_close(model(IDS).logits, before, rtol=0, atol=1e-4)
    assert set(model.state_dict()) == names and not model.training


def test_by_hand_through_a_layer_norm():
    """Weight (3, 4), |w|^2 = 25: a mean of 100 in units of 5 adds 20 to w @ bias: bias (2.4, 3.2)."""
    model = tiny("gpt2")
    norm, head = model.transformer.ln_f, last_linear(model)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[0, :2] = torch.tensor([3.0, 4.0])
        norm.bias.zero_()
    fold(model, 100.0, 5.0)
    torch.testing.assert_close(norm.bias[:3], torch.tensor([2.4, 3.2, 0.0]))
    torch.testing.assert_close(head.weight[0, :3], torch.tensor([15.0, 20.0, 0.0]))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_where_nothing_can_hold_a_mean_nothing_is_changed(architecture):
    model = tiny(architecture)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert not can_hold_mean(model)
    with pytest.raises(
        ConfigError, match="ForSequenceClassification has no bias in its last layers"
    ) as caught:
        fold(model, 2000.0, 10.0)
    assert "task.standardize=false" in caught.value.problems[0].hint
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_norm_that_the_head_does_not_read_is_not_taken():
    """OPT with a projection behind its last norm: the head reads the projection."""
    from transformers import OPTForSequenceClassification

    config = tiny_config("opt", word_embed_proj_dim=16)
    config.num_labels = 1
    assert not can_hold_mean(OPTForSequenceClassification(config))
