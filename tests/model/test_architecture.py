"""What is read off a config is held against the tiny model itself."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from ftcli.errors import ConfigError
from ftcli.model.architecture import max_positions, padding_side, positions_start_after_pad, set_dropout

TABLES = ("bert", "roberta", "distilbert", "albert", "electra", "gpt2", "opt", "bart")
ROTARY = ("llama", "qwen2")


def classifier(config: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    if config.pad_token_id is None:
        config.pad_token_id = 0
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).eval()


def logits(model: Any, length: int) -> torch.Tensor:
    """A row of ordinary tokens whose last one is EOS, which BART asks for."""
    ids = torch.arange(length) % 20 + 5
    ids[-1] = 2
    with torch.no_grad():
        return model(input_ids=ids[None], attention_mask=torch.ones(1, length, dtype=torch.long)).logits


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_positions_ends_exactly_there(name: str, models: ModuleType) -> None:
    config = models.tiny_config(name)
    longest = max_positions(config)
    assert longest == 20
    model = classifier(config)
    assert logits(model, longest).isfinite().all()
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        logits(model, longest + 1)


@pytest.mark.parametrize("pad_id", [0, 1, 5])
def test_roberta_counts_from_behind_its_pad(pad_id: int, models: ModuleType) -> None:
    config = models.tiny_config("roberta", pad_token_id=pad_id)
    longest = max_positions(config)
    assert positions_start_after_pad(config)
    assert longest == 22 - pad_id - 1
    model = classifier(config)
    assert logits(model, 5).isfinite().all()
    if pad_id != 5:  # `logits` uses token 5, which is then no real token
        assert logits(model, longest).isfinite().all()
        with pytest.raises((IndexError, RuntimeError)):
            logits(model, longest + 1)


def test_deberta_without_absolute_positions_has_no_limit(models: ModuleType) -> None:
    config = models.tiny_config("deberta-v2")
    assert max_positions(config) is None
    assert logits(classifier(config), 100).isfinite().all()


def test_deberta_with_absolute_positions_has_one(models: ModuleType) -> None:
    config = models.tiny_config("deberta-v2", position_biased_input=True)
    assert max_positions(config) == 20
    model = classifier(config)
    assert logits(model, 20).isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        logits(model, 21)


@pytest.mark.parametrize("name", ROTARY)
def test_rotary_models_are_held_to_what_they_were_made_for(name: str, models: ModuleType) -> None:
    config = models.tiny_config(name)
    assert max_positions(config) == 20
    assert logits(classifier(config), 21).isfinite().all()  # nothing breaks; nothing was trained there either


def test_padding_goes_right_and_for_xlnet_left(models: ModuleType) -> None:
    from transformers import XLNetConfig

    assert {padding_side(models.tiny_config(name)) for name in models.ARCHITECTURES} == {"right"}
    assert padding_side(XLNetConfig()) == "left"


DROPOUT = {
    "bert": {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"},
    "roberta": {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"},
    "distilbert": {"dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout"},
    "deberta-v2": {"hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout"},
    "albert": {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob"},
    "electra": {
        "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "summary_last_dropout",
    },
    "gpt2": {"resid_pdrop", "embd_pdrop", "attn_pdrop", "summary_first_dropout"},
    "opt": {"dropout", "attention_dropout"},
    "llama": {"attention_dropout"},
    "qwen2": {"attention_dropout"},
    "bart": {"dropout", "attention_dropout", "activation_dropout", "classifier_dropout"},
}  # fmt: skip


@pytest.mark.parametrize("name", DROPOUT)
def test_every_dropout_of_the_architecture_is_set(name: str, models: ModuleType) -> None:
    config = models.tiny_config(name)
    assert set(set_dropout(config, 0.25)) == DROPOUT[name]
    model = classifier(config)
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} <= {0.25}
    model.train()
    assert not torch.equal(logits(model, 9), logits(model, 9))


@pytest.mark.parametrize("name", DROPOUT)
def test_no_dropout_makes_training_deterministic(name: str, models: ModuleType) -> None:
    config = models.tiny_config(name)
    set_dropout(config, 0.0)
    model = classifier(config).train()
    assert torch.equal(logits(model, 9), logits(model, 9))


def test_layerdrop_is_left_alone(models: ModuleType) -> None:
    config = models.tiny_config("bart", encoder_layerdrop=0.125)
    set_dropout(config, 0.25)
    assert config.encoder_layerdrop == 0.125


@pytest.mark.parametrize("value", [1.0, -0.1, 1.5, float("nan")])
def test_only_probabilities(value: float, models: ModuleType) -> None:
    with pytest.raises(ConfigError, match=r"model\.dropout"):
        set_dropout(models.tiny_config("bert"), value)


def test_an_architecture_without_dropout_says_so() -> None:
    from transformers import ConvNextConfig

    with pytest.raises(ConfigError, match="no dropout"):
        set_dropout(ConvNextConfig(), 0.1)
