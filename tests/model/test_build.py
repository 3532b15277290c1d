"""Heads named and seeded, PAD and labels written, pickles and headless models refused."""

from __future__ import annotations

import json

import pytest
import tiny_models as models
import torch

from ftcli.config.compose import load
from ftcli.errors import FtcliError
from ftcli.run import meta
from ftcli.run.inputs import load_inputs
from ftcli.run.model import build_model


@pytest.fixture
def encoder(tmp_path):
    """A tiny BERT saved without a head."""
    from transformers import AutoConfig, AutoModel

    folder = models.write_model(tmp_path / "encoder", "bert")
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


def built(*words: str, labels=("no", "yes"), **options):
    inputs = load_inputs(
        load(["model=local", "tokenizer.max_length=32", *words]).config, labels=list(labels), with_rows=False
    )
    return build_model(inputs, **options)


def test_fresh_heads_are_named_and_seeded(encoder):
    torch.manual_seed(1)
    first = built(f"model.path={encoder}", "seed=5")
    torch.manual_seed(2)
    again, other = built(f"model.path={encoder}", "seed=5"), built(f"model.path={encoder}", "seed=6")
    assert first.fresh == {"classifier.weight", "classifier.bias"}
    assert any("fresh head" in line and "classifier.weight" in line for line in first.decisions)
    assert torch.equal(first.model.classifier.weight, again.model.classifier.weight)
    assert not torch.equal(first.model.classifier.weight, other.model.classifier.weight)
    assert torch.equal(
        first.model.bert.embeddings.word_embeddings.weight, other.model.bert.embeddings.word_embeddings.weight
    )


def test_pad_and_labels_are_written_into_the_config(tmp_path):
    folder = models.write_model(tmp_path / "gpt2", "gpt2")
    base = built(f"model.path={folder}", "model.weights=random", labels=("a", "b", "c"))
    assert base.model.config.pad_token_id == 3, "UNK stands in where a tokenizer has no PAD"
    assert base.model.config.id2label == {0: "a", 1: "b", 2: "c"}


def test_dropout_sets_the_architectures_own_fields(tmp_path):
    folder = models.write_model(tmp_path / "gpt2", "gpt2")
    config = built(f"model.path={folder}", "model.weights=random", "model.dropout=0.25").model.config
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop, config.summary_first_dropout) == (
        0.25,
    ) * 4


def test_half_precision_files_are_kept_as_float32(encoder):
    from transformers import AutoModel

    AutoModel.from_pretrained(encoder).half().save_pretrained(encoder)
    assert {p.dtype for p in built(f"model.path={encoder}").model.parameters()} == {torch.float32}


def test_pickled_weights_are_refused(encoder):
    (encoder / "model.safetensors").rename(encoder / "pytorch_model.bin")
    with pytest.raises(FtcliError, match="pickle"):
        built(f"model.path={encoder}")


def test_a_model_without_the_task_head_is_refused(tmp_path):
    config = load(["model=local", f"model.path={tmp_path}", "model.weights=random"]).config
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clap"}))
    with pytest.raises(FtcliError, match="without the task head"):
        meta.build_meta_model(config)
    # An image classifier's schedule can be generated; a text task on it is refused.
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    assert meta.build_meta_model(config).device.type == "meta"
    with pytest.raises(FtcliError, match="without the task head"):
        build_model(meta.stub_inputs(config), meta=True)


def test_code_in_a_config_is_never_run(tmp_path):
    fields = {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(FtcliError, match="never run"):
        meta.build_meta_model(load(["model=local", f"model.path={tmp_path}", "model.weights=random"]).config)


def test_a_hub_id_comes_from_the_local_cache(encoder, tmp_path, monkeypatch):
    """The cache is laid out as the hub's client does; nothing else is asked."""
    cache = tmp_path / "hub"
    snapshot = cache / "models--team--tiny" / "snapshots" / ("a" * 40)
    snapshot.parent.mkdir(parents=True)
    encoder.rename(snapshot)
    refs = cache / "models--team--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert built("model.id=team/tiny").fresh == {"classifier.weight", "classifier.bias"}
    with pytest.raises(FtcliError) as caught:
        built("model.id=team/other")
    assert "model.path" in caught.value.problems[0].hint
