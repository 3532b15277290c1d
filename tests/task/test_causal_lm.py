"""Documents of a language model: blocks, what begins and ends them, what is refused, and its metrics."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tiny_language
import torch

from ftcli.config.compose import load
from ftcli.errors import ConfigError
from ftcli.run.inputs import load_inputs
from ftcli.run.session import RunSession


def encoded(tmp_path, text, *own, **tokenizer):
    """Returns the tokens of one document in blocks, and which of them are learned."""
    folder = tiny_language.write_model(tmp_path / "model", "gpt2", weights=False, **tokenizer)
    rows = tmp_path / "rows"
    rows.mkdir(exist_ok=True)
    lines = [json.dumps({"text": one}) for one in (text, "the film")]
    for part in ("train", "validation"):
        (rows / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    words = ["task=causal-lm", "model=local", f"model.path={folder}", "model.weights=random", "data=text", f"data.path={rows}",
             "tokenizer.max_length=6", *own]  # fmt: skip
    inputs = load_inputs(load(words).config)
    table = inputs.task.encode(inputs.splits.train, inputs.tokenizer)
    backend = inputs.tokenizer.backend
    found = []
    for row in np.flatnonzero(table.extras["source"] == 0):
        names = backend.convert_ids_to_tokens(table.row(row).tolist())
        found.append(
            [f"[{name}]" if label else name for name, label in zip(names, table.label(row), strict=True)]
        )
    return found, inputs, table


def test_every_token_of_a_document_is_a_target_once(tmp_path):
    blocks, inputs, table = encoded(tmp_path, "the film was good and a view", size=480)
    end = tiny_language.END
    assert blocks == [
        [end, "[the]", "[Ġfilm]", "[Ġwas]", "[Ġgood]", "[Ġand]"],
        ["Ġand", "[Ġa]", "[Ġview]", f"[{end}]"],
    ]
    assert table.extras["num_bytes"].tolist() == [21, 7, 8]
    assert any("in blocks of 6 tokens" in line for line in inputs.decisions)


@pytest.mark.parametrize(
    ("own", "tokenizer", "expected"),
    [
        ((), {}, ["<|endoftext|>", "[the]", "[<|endoftext|>]"]),
        ((), {"writes_start": True}, ["<|start|>", "[the]", "[<|endoftext|>]"]),
        (("task.document_start=bos",), {}, ["<|start|>", "[the]", "[<|endoftext|>]"]),
        (("task.document_start=bos",), {"writes_start": True}, ["<|start|>", "[the]", "[<|endoftext|>]"]),
        (("task.document_start=none",), {"writes_start": True}, ["the", "[<|endoftext|>]"]),
        (("task.document_end=none",), {"writes_start": True}, ["<|start|>", "[the]"]),
        (("task.document_start=é", "task.document_end='!'"), {}, ["é", "[the]", "[!]"]),
        (("task.document_end=none",), {"specials": False}, ["the"]),
    ],
)  # fmt: skip
def test_what_begins_and_ends_a_document(own, tokenizer, expected, tmp_path):
    blocks, inputs, _ = encoded(tmp_path, "the", *own, **tokenizer)
    assert blocks == [expected]
    said = next(line for line in inputs.decisions if "task.document_start" in line)
    assert ("begins with" in said) == (not expected[0].startswith("the"))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("task.document_start=<s>", "'<s>' is no token of the vocabulary"),
        ("task.document_end=auto", "auto ends no document"),
        ("task.num_labels=3", "the outputs are the tokens of the vocabulary"),
        ("task.label_smoothing=0.1", "smooths no labels"),
        ("task.metrics=[accuracy]", "does not score what task=causal-lm predicts"),
        ("seeds=[1,2]", "do not predict as one"),
    ],
)
def test_words_that_do_not_fit_are_refused(word, message, ftcli, tmp_path):
    done = ftcli("train", *tiny_language.words(tmp_path, "gpt2", weights=False), word)
    assert done.code == 2 and message in done.err


def test_an_empty_tokenizer_end_is_refused_with_words_that_work(tmp_path):
    with pytest.raises(ConfigError, match="the tokenizer has no EOS") as raised:
        encoded(tmp_path, "the", specials=False)
    assert raised.value.problems[0].hint == "type task.document_end=none"


def test_encoders_are_refused(ftcli, tmp_path, tiny):
    for command in ("train", "explain"):
        done = ftcli(command, *tiny, "task=causal-lm")
        assert done.code == 2 and "as masked-lm models do" in done.err and "model=gpt2" in done.err


def test_a_file_without_the_output_projection_is_refused(ftcli, tmp_path):
    from safetensors.torch import load_file, save_file

    words = tiny_language.words(tmp_path, "llama")
    file = tmp_path / "llama" / "model.safetensors"
    tensors = load_file(file)
    save_file({k: v for k, v in tensors.items() if k != "lm_head.weight"}, file, metadata={"format": "pt"})
    done = ftcli("train", *words)
    assert done.code == 2 and "lacks lm_head.weight" in done.err


def test_the_line_on_pad_says_that_it_is_learned(tmp_path):
    session = RunSession(load(tiny_language.words(tmp_path, "gpt2", weights=False)).config)
    assert any("told apart by place" in line for line in session.inputs.decisions)


def test_bits_a_byte_do_not_hang_on_the_tokenizer(tmp_path):
    """Bytes are those of the texts, whatever the tokens."""
    texts = tiny_language.texts(20)
    total = sum(len(text.encode()) for text in texts)
    for size in (258, 320):
        place = tmp_path / str(size)
        place.mkdir()
        _, inputs, _ = encoded(place, "x", size=size)
        rows = inputs.splits.train
        rows.columns["text"] = texts
        table = inputs.task.encode(rows, inputs.tokenizer)
        assert int(table.extras["num_bytes"].sum()) == total


def test_metrics_by_hand():
    from ftcli.config.registry import lookup

    sums = torch.tensor([[-3.0, 2.0], [-5.0, 1.0]], dtype=torch.float64), torch.tensor([[4, 10], [4, 6]])
    values = {}
    for name in ("perplexity", "bits-a-byte", "token-accuracy"):
        metric = lookup("metric", name).build()
        with pytest.raises(ValueError):
            metric.compute()
        metric.update(*sums)
        values[name] = metric.compute()
    assert values == {
        "perplexity": pytest.approx(math.e),
        "bits-a-byte": pytest.approx(8 / math.log(2) / 16),
        "token-accuracy": 3 / 8,
    }
