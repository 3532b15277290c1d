"""PAD, length, special tokens in texts, and whose tokenizer may be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models as models

from ftcli.config.compose import load
from ftcli.errors import ConfigError, FtcliError
from ftcli.run.inputs import load_inputs


def tokenizer(folder: Path, *words: str):
    length = [] if any("max_length" in word for word in words) else ["tokenizer.max_length=32"]
    config = load(["model=local", f"model.path={folder}", "model.weights=random", *length, *words]).config
    return load_inputs(config, labels=["a", "b"], with_rows=False).tokenizer


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_pad_is_settled_and_said(tmp_path, architecture):
    built = tokenizer(models.write_model(tmp_path / "m", architecture))
    assert built.pad_id == (3 if architecture in models.NO_PAD else 0)
    assert built.padding_side == "right"
    assert any(line.startswith("PAD is") for line in built.decisions)


def test_truncation_is_counted_and_keeps_special_tokens(tmp_path):
    built = tokenizer(models.write_model(tmp_path / "m", "bert"), "tokenizer.max_length=6")
    table = built.encode(["the film was good", "the film was very very very good"], None)
    assert table.lengths.tolist() == [6, 6] and table.num_truncated == 1 and table.num_tokens_cut == 3
    assert table.row(1)[0] == 1 and table.row(1)[-1] == 2


def test_pairs_have_token_types(tmp_path):
    built = tokenizer(models.write_model(tmp_path / "m", "bert"))
    table = built.encode(["the film"], ["was good"])
    assert table.row(0)[0] == 1 and table.token_types.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_special_tokens_in_a_text_are_those_tokens(tmp_path):
    built = tokenizer(models.write_model(tmp_path / "m", "bert"))
    ids = built.encode(["the </s> film <pad>"], None).row(0).tolist()
    assert ids == [1, 5, 2, 7, 0, 2]


@pytest.mark.parametrize(
    ("architecture", "limit"), [("bert", 40), ("roberta", 39), ("gpt2", 40), ("opt", 40)]
)
def test_a_length_beyond_the_positions_is_refused(tmp_path, architecture, limit):
    folder = models.write_model(tmp_path / "m", architecture)
    assert tokenizer(folder, f"tokenizer.max_length={limit}").max_length == limit
    with pytest.raises(ConfigError) as caught:
        tokenizer(folder, f"tokenizer.max_length={limit + 1}")
    assert (
        caught.value.problems[0].key == "tokenizer.max_length" and str(limit) in caught.value.problems[0].hint
    )


def test_another_tokenizer_needs_random_weights(tmp_path):
    from transformers import AutoConfig, AutoModel

    folder = models.write_model(tmp_path / "m", "bert")
    other = models.write_model(tmp_path / "other", "bert")
    text = (other / "tokenizer.json").read_text()
    swapped = text.replace('"good"', '"@"').replace('"bad"', '"good"').replace('"@"', '"bad"')
    (other / "tokenizer.json").write_text(swapped)
    words = ["tokenizer=folder", f"tokenizer.path={other}"]
    assert tokenizer(folder, *words).pad_id == 0
    AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    pretrained = load(["model=local", "tokenizer.max_length=32", f"model.path={folder}", *words]).config
    with pytest.raises(FtcliError, match="'bad'|'good'"):
        load_inputs(pretrained, labels=["a", "b"], with_rows=False)
    same = load(
        ["model=local", f"model.path={folder}", "tokenizer=folder", f"tokenizer.path={folder}"]
    ).config
    assert load_inputs(same, labels=["a", "b"], with_rows=False).tokenizer.pad_id == 0


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    folder = models.write_model(tmp_path / "m", "bert")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(FtcliError, match="no tokenizer"):
        tokenizer(folder)
