"""Whole texts as tokens: no special tokens, and the bytes up to the end of each token."""

import numpy as np
import pytest
import tiny_language

from ftcli.config.compose import load
from ftcli.errors import DataError
from ftcli.run.inputs import load_inputs
from ftcli.tokenizer.documents import byte_ends


@pytest.fixture
def tokenizer(tmp_path):
    return load_inputs(load(tiny_language.words(tmp_path, "gpt2", weights=False)).config).tokenizer


def test_bytes_are_those_of_whole_characters():
    ends = byte_ends("aé𝄞", np.array([1, 2, 3, 3, 3, 3]))
    assert ends.tolist() == [1, 3, 7, 7, 7, 7]
    assert byte_ends("", np.zeros(0, dtype=np.int64)).tolist() == []
    assert byte_ends("ab  ", np.array([1, 2])).tolist() == [1, 4]  # a normalizer took the spaces away
    assert byte_ends("abc", np.array([2, 1, 3])).tolist() == [1 + 1, 2, 3]


def test_texts_are_encoded_uncut_and_without_special_tokens(tokenizer):
    texts = ["the film " * 50, "", "é𝄞", "the"]
    found = tokenizer.encode_whole(texts)
    assert len(found[0][0]) > tokenizer.max_length and len(found[1][0]) == 0
    for text, (ids, ends) in zip(texts, found, strict=True):
        assert tokenizer.backend.decode(ids.tolist()) == text
        assert len(ids) == len(ends) and (not len(ends) or ends[-1] == len(text.encode()))
        assert not set(ids.tolist()) & set(tokenizer.backend.all_special_ids)


def test_half_of_a_character_is_named(tokenizer):
    with pytest.raises(DataError, match="not valid Unicode"):
        tokenizer.encode_whole(["good", "\ud800"])


@pytest.mark.parametrize("writes", [False, True])
def test_what_a_tokenizer_writes_before_a_text(writes, tmp_path):
    folder = tiny_language.write_model(tmp_path / "model", "gpt2", weights=False, writes_start=writes)
    rows = tiny_language.write_rows(tmp_path / "rows")
    words = [
        "task=causal-lm",
        "model=local",
        f"model.path={folder}",
        "model.weights=random",
        "data=text",
        f"data.path={rows}",
    ]
    tokenizer = load_inputs(load(words).config).tokenizer
    assert tokenizer.written_start == ([1] if writes else [])
