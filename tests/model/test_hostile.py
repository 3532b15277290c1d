"""Hostile model folders: each gives a tokenizer and a finite answer, or one panel; nothing in them is run."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import tiny_weights
import torch
from hostile_models import CATEGORIES, hostile_models
from spoiled_files import MARKER

from ftcli.config.schema import ModelConfig, TokenizerConfig
from ftcli.errors import FtcliError, SourceError
from ftcli.hub.resolve import resolve_model
from ftcli.model.absurd_numbers import refuse_absurd_numbers
from ftcli.model.architecture import max_positions, padding_side
from ftcli.model.config_file import load_config
from ftcli.model.pretrained import build
from ftcli.model.size_check import refuse_absurd_size, time_limit
from ftcli.tokenizer import auto, processor

SLOW = ("vocab-huge", "normalizer-grows", "added-many", "vocab-long", "config-large", "config-labels")
"""Parts of names of folders that take a second or more; the long fault suite has them."""


def opened(place) -> None:
    """Does what a command does with a folder before its first step."""
    config = ModelConfig(path=str(place))
    source = resolve_model(config, with_weights=True)
    hf_config = load_config(config, source)
    image = hf_config.model_type == "vit"
    kind = processor if image else auto
    settings = processor.ProcessorConfig() if image else TokenizerConfig()
    tokenizer = kind.build(
        settings, model_source=source, random_weights=False, model_config=hf_config,
        max_positions=max_positions(hf_config), padding_side=padding_side(hf_config),
    )  # fmt: skip
    if not image:
        tokenizer.encode(["the film was good", ""])
    heads = ("AutoModelForImageClassification",) if image else ("AutoModelForSequenceClassification",)
    build(config, source=source, hf_config=hf_config, auto_classes=heads, labels=["a", "b"], pad_id=tokenizer.pad_id,
          seed=1, attention="eager", free_memory=8 * 2**30)  # fmt: skip


def test_a_sample_of_hostile_folders_is_read_or_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    refused = 0
    for name, place in hostile_models(tmp_path / "m", len(CATEGORIES), seed=5):
        if int(name[:3]) % 2 or any(slow in name for slow in SLOW):
            continue
        began = time.monotonic()
        try:
            opened(place)
        except FtcliError as error:
            refused += 1
            assert error.exit_code == 2 and all(p.message for p in error.problems), name
        assert time.monotonic() - began < 30, name
        assert not (tmp_path / MARKER).exists(), name
    assert refused > len(CATEGORIES) // 4
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1,000,000,000; expected at most 1,000"),
        ({"vocab_size": 0}, "vocab_size=0; expected at least 1"),
        ({"text_config": {"hidden_size": -1}}, "text_config.hidden_size=-1; expected at least 1"),
        ({"num_labels": 10**9}, "num_labels=1,000,000,000; expected at most 1,000,000"),
        ({"hidden_dropout_prob": -1.0}, "hidden_dropout_prob=-1.0; expected a probability"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps=nan; expected a number"),
        ({"pad_token_id": 2**31}, "pad_token_id=2,147,483,648; expected at most 2,147,483,647"),
        ({"anything": 10**400}, "anything=a number of 1329 bits"),
    ],
)
def test_absurd_numbers_are_named(tmp_path, values, said):
    source = resolve_model(
        ModelConfig(path=str(tiny_weights.write_model(tmp_path, "bert"))), with_weights=False
    )
    with pytest.raises(SourceError, match=said.replace(".", r"\.")):
        refuse_absurd_numbers(values, source)
    refuse_absurd_numbers({"id2label": {"0": 2**70}, "pad_token_id": -1, "type_vocab_size": 0}, source)


def test_sizes_are_compared_with_the_files_and_the_memory(tmp_path):
    from transformers import BertForSequenceClassification

    source = resolve_model(
        ModelConfig(path=str(tiny_weights.write_model(tmp_path, "bert"))), with_weights=True
    )
    fits = tiny_weights.tiny_config("bert")
    refuse_absurd_size(BertForSequenceClassification, fits, source, dtype=torch.float32, free=10**6)
    larger = tiny_weights.tiny_config("bert", vocab_size=10**8)
    with pytest.raises(SourceError, match=r"describes 3,200,\d+,\d+ parameters; its weight files hold"):
        refuse_absurd_size(BertForSequenceClassification, larger, source, dtype=torch.float32, free=None)
    random = replace(source, weight_files=())
    with pytest.raises(
        SourceError,
        match=r"needs 12\.8 GB for its weights; 8\.0 GB|needs .* for its weights; .* of memory are free",
    ):
        refuse_absurd_size(BertForSequenceClassification, larger, random, dtype=torch.float32, free=8 * 10**9)


def test_a_build_that_takes_too_long_is_ended():
    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"), time_limit(0.05):
        while True:
            pass


def test_a_lack_of_memory_is_no_fault_of_the_files(tmp_path, monkeypatch):
    from transformers import PreTrainedModel

    def full(*args, **kwargs):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", full)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        opened(tiny_weights.write_wordpiece(tiny_weights.write_model(tmp_path, "bert")))
