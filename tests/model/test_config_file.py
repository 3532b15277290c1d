"""What a config.json decides, and configs that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from built_models import built, edit_config, rewrite

from ftcli.config.schema import Dtype, ModelConfig, Weights
from ftcli.errors import ConfigError, SourceError
from ftcli.hub.resolve import resolve_model
from ftcli.model.config_file import load_config
from ftcli.model.pretrained import build


def test_labels_pad_and_task_are_written(tmp_path: Path, models: ModuleType) -> None:
    config = built(models.write_model(tmp_path, "gpt2"), labels=["bad", "good"], pad_id=7).model.config
    assert config.id2label == {0: "bad", 1: "good"}
    assert config.label2id == {"bad": 0, "good": 1}
    assert config.num_labels == 2
    assert config.problem_type == "single_label_classification"
    assert config.pad_token_id == 7
    assert config.use_cache is False


def test_the_given_config_is_left_alone(tmp_path: Path, models: ModuleType) -> None:
    config = ModelConfig(path=str(models.write_model(tmp_path, "bert")), dropout=0.3)
    source = resolve_model(config, with_weights=True)
    hf_config = load_config(config, source)
    before = hf_config.to_dict()
    result = build(
        config,
        source=source,
        hf_config=hf_config,
        labels=["a", "b", "c"],
        pad_id=2,
        seed=0,
        attention="eager",
    )
    assert hf_config.to_dict() == before
    assert (
        "dropout 0.3 in hidden_dropout_prob, attention_probs_dropout_prob, classifier_dropout"
        in result.decisions
    )


@pytest.mark.parametrize("pad_id", [-1, 48])
def test_pad_lies_within_the_vocabulary(pad_id: int, tmp_path: Path, models: ModuleType) -> None:
    with pytest.raises(ConfigError, match="outside the model's vocabulary of 48"):
        built(models.write_model(tmp_path, "bert"), pad_id=pad_id)


def test_trained_positions_pin_roberta_to_its_pad(tmp_path: Path, models: ModuleType) -> None:
    with pytest.raises(ConfigError, match="would be shifted"):
        built(models.write_model(tmp_path, "roberta"), pad_id=3)


def test_random_roberta_keeps_its_length_with_another_pad(tmp_path: Path, models: ModuleType) -> None:
    result = built(models.write_config(tmp_path, "roberta"), weights=Weights.random, pad_id=3)
    assert result.model.config.max_position_embeddings == 24  # 20 positions behind ids 0 to 3
    ids = torch.full((1, 20), 9)
    with torch.no_grad():
        assert result.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.isfinite().all()


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_half_precision_files_become_float32_unless_asked(
    stored: torch.dtype, tmp_path: Path, models: ModuleType
) -> None:
    folder = models.write_model(tmp_path, "bert")
    rewrite(folder, lambda held: held.update({n: t.to(stored) for n, t in held.items()}))
    name = str(stored).removeprefix("torch.")
    edit_config(folder, dtype=name)
    result = built(folder)
    assert {p.dtype for p in result.model.parameters()} == {torch.float32}
    assert f"weights stored as {name} are kept in memory as float32" in result.decisions
    kept = built(folder, dtype=Dtype(name))
    assert {p.dtype for p in kept.model.parameters()} == {stored}


def test_attention_falls_back_with_a_line(tmp_path: Path, models: ModuleType) -> None:
    deberta = built(
        models.write_config(tmp_path / "d", "deberta-v2"), weights=Weights.random, attention="sdpa"
    )
    assert deberta.model.config._attn_implementation == "eager"
    assert "attention eager: DebertaV2ForSequenceClassification has no sdpa" in deberta.decisions
    bert = built(models.write_config(tmp_path / "b", "bert"), weights=Weights.random, attention="sdpa")
    assert bert.model.config._attn_implementation == "sdpa"


def test_keys_that_load_code_or_kernels_are_dropped(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_config(tmp_path, "bert")
    edit_config(
        folder,
        _attn_implementation_internal="evil/kernel",
        _attn_implementation="evil/kernel",
        attn_implementation="evil/kernel",
        use_kernels=True,
        auto_map={"AutoConfig": "x.Y"},
        transformers_weights="evil.bin",
        return_dict=False,
        output_attentions=True,
    )
    config = ModelConfig(path=str(folder), weights=Weights.random)
    text = json.dumps(load_config(config, resolve_model(config, with_weights=True)).to_dict())
    assert "evil" not in text and "auto_map" not in text and "use_kernels" not in text
    result = built(folder, weights=Weights.random)
    assert result.model.config._attn_implementation == "eager"
    assert result.model.config.return_dict is True


def config_error(folder: Path, text: str) -> SourceError:
    (folder / "config.json").write_text(text)
    config = ModelConfig(path=str(folder), weights=Weights.random)
    with pytest.raises(SourceError) as error:
        load_config(config, resolve_model(config, with_weights=True))
    return error.value


def test_configs_that_are_none(tmp_path: Path) -> None:
    assert "not JSON" in str(config_error(tmp_path, "{"))
    assert "not a JSON object" in str(config_error(tmp_path, "[]"))
    assert "no model_type" in str(config_error(tmp_path, "{}"))
    assert "not a config of bert" in str(
        config_error(tmp_path, '{"model_type": "bert", "hidden_size": "wide"}')
    )


def test_an_unknown_architecture_is_named_and_its_code_not_run(tmp_path: Path) -> None:
    error = config_error(tmp_path, '{"model_type": "bret", "auto_map": {"AutoConfig": "a.B"}}')
    assert "no architecture 'bret'" in str(error) and "never run" in str(error)
    assert "bert" in error.problems[0].hint


def test_quantised_weights_are_refused(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, "bert")
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(SourceError, match="quantised"):
        built(folder)


def test_an_architecture_without_the_head(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ConfigError, match="vit is a model without the task head SequenceClassification"):
        built(tmp_path, weights=Weights.random, pad_id=0)


def test_a_config_that_makes_no_model(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_config(tmp_path, "bert")
    edit_config(folder, num_attention_heads=3)
    with pytest.raises(SourceError, match="makes no BertForSequenceClassification"):
        built(folder, weights=Weights.random)
