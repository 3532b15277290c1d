"""Questions with contexts and answers, the task on them, and tokenizers of a tiny model."""

import hashlib

import numpy as np
import tiny_models

from ftcli.batching.rows import Rows
from ftcli.config.registry import lookup
from ftcli.config.schema import ColumnsConfig, ModelConfig, TokenizerConfig
from ftcli.hub.resolve import Source
from ftcli.model.architecture import max_positions, padding_side
from ftcli.model.config_file import load_config
from ftcli.tokenizer import auto


def task(columns=None, **config):
    entry = lookup("task", "extractive-qa")
    own = {"text": "question", "text_pair": "context", "label": "answers"}
    return entry.build(entry.config_class(**config), ColumnsConfig(**(columns or own)))


def make(name="train", **columns):
    length = len(next(iter(columns.values())))
    sha = hashlib.sha256(repr(columns).encode()).hexdigest()
    return Rows(name, columns, f"{name}.jsonl", sha, np.arange(1, length + 1))


def row_of(context, *texts, question="was the"):
    found = [{"text": text, "answer_start": context.index(text)} for text in texts]
    return make(question=[question], context=[context], answers=[found])


def tokenizer_of(folder, name, max_length):
    tiny_models.write_model(folder, name)
    source = Source(origin="test", folder=folder, config_file=folder / "config.json")
    config = load_config(ModelConfig(), source)
    return auto.build(TokenizerConfig(max_length=max_length), model_source=source, random_weights=True, model_config=config,
                      max_positions=max_positions(config), padding_side=padding_side(config))  # fmt: skip
