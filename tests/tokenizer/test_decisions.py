"""What is decided for the user: PAD, the length, and ids beyond the embedding; and the fingerprint of it all."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from tokenizer_folders import build_tokenizer, write_words

from ftcli.errors import ConfigError

# --- PAD: the first of these that is there


@pytest.mark.parametrize(
    ("names", "model_pad", "words", "pad_id", "why"),
    [
        ({"pad_token": "p", "eos_token": "e"}, 2, ["u", "e", "m", "p"], 3, "the tokenizer's own"),
        ({"eos_token": "e"}, 2, ["u", "e", "m", "<pad>"], 2, "the model's own"),
        ({"eos_token": "e", "unk_token": "u"}, None, ["u", "e", "m", "[PAD]"], 3, "found in the vocabulary"),
        ({"eos_token": "e", "unk_token": "u"}, None, ["u", "e", "m", "n"], 0, "the unknown token"),
        ({"eos_token": "e", "unk_token": "e"}, None, ["u", "e", "m", "n"], 1, "the end token"),
        ({"eos_token": "e"}, 99, ["u", "e", "m", "n"], 1, "the end token"),  # 99 is outside the vocabulary
    ],
)
def test_the_order_of_pads(
    names: dict[str, str],
    model_pad: int | None,
    words: list[str],
    pad_id: int,
    why: str,
    tmp_path: Path,
    models: ModuleType,
) -> None:
    model_config = models.tiny_config("gpt2", pad_token_id=model_pad)
    tokenizer = build_tokenizer(write_words(tmp_path, words, **names), model_config)
    assert tokenizer.pad_id == pad_id
    assert any(
        line.startswith(f"PAD is {words[pad_id]} (id {pad_id}), {why}") for line in tokenizer.decisions
    )
    assert tokenizer.backend.pad_token_id == pad_id


def test_no_pad_at_all(tmp_path: Path, models: ModuleType) -> None:
    with pytest.raises(ConfigError, match="no token that could be PAD"):
        build_tokenizer(write_words(tmp_path, ["a", "b"]), models.tiny_config("gpt2"))


def test_a_pad_that_ends_rows_is_reported(tmp_path: Path, models: ModuleType) -> None:
    config = models.tiny_config("gpt2", pad_token_id=1)
    ordinary = build_tokenizer(write_words(tmp_path / "o", ["u", "m", "n"]), config)
    assert "an ordinary token that a text can end in" in " ".join(ordinary.decisions)
    place = write_words(tmp_path / "e", ["u", "e", "a"], special=("e",), template="$A e", eos_token="e")
    assert "every row ends in it too" in " ".join(build_tokenizer(place, config).decisions)
    place = write_words(tmp_path / "s", ["u", "e", "a"], special=("e",), eos_token="e")
    pad = next(line for line in build_tokenizer(place, config).decisions if line.startswith("PAD"))
    assert pad == "PAD is e (id 1), the model's own"


# --- length


@pytest.mark.parametrize(
    ("architecture", "given", "expected"),
    [
        ("bert", None, 20),
        ("roberta", None, 20),
        ("deberta-v2", None, 512),
        ("deberta-v2", 600, 600),
        ("bert", 4, 4),
    ],
)
def test_max_length(
    architecture: str, given: int | None, expected: int, tmp_path: Path, models: ModuleType
) -> None:
    place = models.write_wordpiece(tmp_path)
    tokenizer = build_tokenizer(place, models.tiny_config(architecture), max_length=given)
    assert tokenizer.max_length == expected
    assert any(line.startswith(f"max_length {expected}") for line in tokenizer.decisions) == (given is None)


@pytest.mark.parametrize("given", [21, 3, 0, -1])
def test_lengths_that_do_not_fit(given: int, tmp_path: Path, models: ModuleType) -> None:
    with pytest.raises(ConfigError) as error:
        build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert"), max_length=given)
    assert error.value.problems[0].key == "tokenizer.max_length"


def test_512_even_where_the_model_has_more(tmp_path: Path, models: ModuleType) -> None:
    config = models.tiny_config("bert", max_position_embeddings=900)
    assert build_tokenizer(models.write_wordpiece(tmp_path), config).max_length == 512


def test_ids_beyond_the_embedding_are_refused(tmp_path: Path, models: ModuleType) -> None:
    place = models.write_wordpiece(tmp_path)
    with pytest.raises(
        ConfigError, match=r"'##ly' the id 17; the model's embedding ends at 15 \(2 tokens beyond it\)"
    ):
        build_tokenizer(place, models.tiny_config("bert", vocab_size=16))
    build_tokenizer(place, models.tiny_config("bert", vocab_size=18))


def test_a_pad_alone_beyond_the_embedding_is_replaced(tmp_path: Path, models: ModuleType) -> None:
    names = {"pad_token": "[PAD]", "eos_token": "e"}
    place = write_words(tmp_path, ["u", "e", "m"], special=("[PAD]",), **names)
    tokenizer = build_tokenizer(place, models.tiny_config("gpt2", vocab_size=3))
    assert tokenizer.pad_id == 1
    with pytest.raises(ConfigError, match=r"'\[PAD\]' the id 3"):
        tokenizer.encode(["m [PAD]"])


# --- the fingerprint


def test_fingerprint_follows_what_decides_the_ids(tmp_path: Path, models: ModuleType) -> None:
    place, config = models.write_wordpiece(tmp_path / "a"), models.tiny_config("bert")
    first = build_tokenizer(place, config)
    assert build_tokenizer(models.write_wordpiece(tmp_path / "b"), config).fingerprint == first.fingerprint
    assert len(first.fingerprint) == 64
    changed = {
        build_tokenizer(place, config, max_length=9).fingerprint,
        build_tokenizer(place, models.tiny_config("distilbert")).fingerprint,  # no token types
    }
    (place / "vocab.txt").write_text((place / "vocab.txt").read_text().replace("good", "fine"))
    changed.add(build_tokenizer(place, config).fingerprint)
    assert len(changed | {first.fingerprint}) == 4


def test_using_it_does_not_change_the_fingerprint(tmp_path: Path, models: ModuleType) -> None:
    tokenizer = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert"), max_length=4)
    before = tokenizer._fingerprint()
    tokenizer.encode(["good bad film story"])
    tokenizer.backend(["good"], padding="max_length", max_length=9)
    assert tokenizer._fingerprint() == before == tokenizer.fingerprint
