"""What the strategies refuse, and what they choose on other architectures."""

import pytest
import torch
import transformers

from ftcli.config.registry import lookup
from ftcli.errors import ConfigError, PlanError
from ftcli.plan.anatomy import read_anatomy

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40,
    "max_position_embeddings": 20,
}  # fmt: skip


def anatomy_of(config):
    with torch.device("meta"):
        return read_anatomy(transformers.AutoModelForSequenceClassification.from_config(config))


def select(name, anatomy, **fields):
    entry = lookup("freezing", name)
    return entry.build(entry.config_class(**fields), anatomy)


def test_bias_only_needs_biases():
    with pytest.raises(PlanError, match="has no biases"):
        select("bias-only", anatomy_of(transformers.LlamaConfig(**SMALL)))


def test_albert_says_why_it_has_one_block():
    anatomy = anatomy_of(transformers.AlbertConfig(**SMALL, embedding_size=8))
    with pytest.raises(PlanError, match="has 1, because its layers share") as caught:
        select("bottom-layers", anatomy, num_layers=2)
    assert caught.value.problems[0].key == "freezing.num_layers"
    left = select("bottom-layers", anatomy, num_layers=1).trainable
    assert left == {"albert.pooler.weight", "albert.pooler.bias", "classifier.weight", "classifier.bias"}


def test_bottom_layers_freezes_three_quarters_by_default():
    config = transformers.BertConfig(**{**SMALL, "num_hidden_layers": 8})
    selection = select("bottom-layers", anatomy_of(config))
    assert {n.split(".")[3] for n in selection.trainable if ".layer." in n} == {"6", "7"}
    assert "6 of 8 blocks" in selection.summary
    assert [hit.pattern for hit in selection.hits] == [
        "embeddings",
        *(f"bert.encoder.layer.{i}" for i in range(6)),
    ]


def test_no_layers_still_freezes_the_embeddings():
    anatomy = anatomy_of(transformers.BertConfig(**SMALL))
    left = select("bottom-layers", anatomy, num_layers=0).trainable
    assert (
        left == select("embeddings", anatomy).trainable == {n for n in anatomy.names if "embeddings" not in n}
    )


def test_ranges_before_the_model_is_known():
    patterns = lookup("freezing", "patterns").config_class
    assert [p.key for p in patterns().problems()] == ["freezing"] and patterns(train=["x"]).problems() == []
    with pytest.raises(ConfigError, match="both are empty"):
        select("patterns", anatomy_of(transformers.BertConfig(**SMALL)))
    bottom = lookup("freezing", "bottom-layers").config_class
    assert [p.key for p in bottom(num_layers=-1).problems()] == ["freezing.num_layers"]
