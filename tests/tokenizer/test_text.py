"""What a row of tokens looks like: pairs, truncation, special tokens in a text, empty texts, end tokens."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from tokenizer_folders import build_tokenizer, write_words

from ftcli.errors import ConfigError, DataError

# Ids by hand from the order of the words in tests/support/tiny_weights.py: [CLS] 2, [SEP] 3, good 5, bad 6, ...


def test_rows_and_offsets(tmp_path: Path, models: ModuleType) -> None:
    table = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert")).encode(
        ["good film", "", "bad"]
    )
    assert [table.row(i).tolist() for i in range(3)] == [[2, 5, 7, 3], [2, 3], [2, 6, 3]]
    assert table.offsets.tolist() == [0, 4, 6, 9]
    assert (table.ids.dtype, table.offsets.dtype) == (np.int32, np.int64)
    assert (table.num_truncated, table.num_tokens_cut, table.labels) == (0, 0, None)


def test_pairs_and_token_types_where_the_model_reads_them(tmp_path: Path, models: ModuleType) -> None:
    place = models.write_wordpiece(tmp_path)
    table = build_tokenizer(place, models.tiny_config("bert")).encode(["good film"], ["bad"])
    assert table.row(0).tolist() == [2, 5, 7, 3, 6, 3]
    assert table.token_types is not None and table.token_types.dtype == np.uint8
    assert table.token_types.tolist() == [0, 0, 0, 0, 1, 1]
    for other in ("distilbert", "roberta", "deberta-v2"):
        assert (
            build_tokenizer(place, models.tiny_config(other)).encode(["good film"], ["bad"]).token_types
            is None
        )


def test_truncation_is_exact_and_counted(tmp_path: Path, models: ModuleType) -> None:
    tokenizer = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert"), max_length=5)
    table = tokenizer.encode(["good bad film", "good bad film story a the", "good"])
    assert [table.row(i).tolist() for i in range(3)] == [[2, 5, 6, 7, 3], [2, 5, 6, 7, 3], [2, 5, 3]]
    assert (table.num_truncated, table.num_tokens_cut) == (1, 3)
    again = tokenizer.encode(["good bad film"])
    assert (again.num_truncated, again.num_tokens_cut) == (0, 0)


def test_the_longer_of_a_pair_is_cut_first(tmp_path: Path, models: ModuleType) -> None:
    tokenizer = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert"), max_length=7)
    table = tokenizer.encode(["good bad film story a"], ["the"])
    assert table.row(0).tolist() == [2, 5, 6, 7, 3, 10, 3]
    assert (table.num_truncated, table.num_tokens_cut) == (1, 2)
    assert table.token_types is not None and table.token_types.tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_no_room_beside_the_special_tokens(tmp_path: Path, models: ModuleType) -> None:
    tokenizer = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert"), max_length=4)
    assert tokenizer.encode(["good bad film"]).row(0).tolist() == [2, 5, 6, 3]
    with pytest.raises(ConfigError) as error:
        tokenizer.encode(["good"], ["bad"])  # three special tokens and two texts
    assert error.value.problems[0].hint == "set tokenizer.max_length=5 or more"


def test_someone_elses_settings_do_not_stay(tmp_path: Path, models: ModuleType) -> None:
    tokenizer = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert"))
    tokenizer.backend(["good bad film"], max_length=3, truncation=True, padding="max_length")
    assert tokenizer.encode(["good bad film"]).row(0).tolist() == [2, 5, 6, 7, 3]


def test_many_rows_are_all_there(tmp_path: Path, models: ModuleType) -> None:
    rows = 9000  # more than two chunks
    tokenizer = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert"))
    table = tokenizer.encode(["good " * (i % 3 + 1) for i in range(rows)])
    assert table.lengths.tolist() == [i % 3 + 3 for i in range(rows)]


def test_no_rows(tmp_path: Path, models: ModuleType) -> None:
    table = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert")).encode([])
    assert (len(table), table.offsets.tolist()) == (0, [0])


def test_half_a_surrogate_pair_is_a_data_error(tmp_path: Path, models: ModuleType) -> None:
    tokenizer = build_tokenizer(models.write_wordpiece(tmp_path), models.tiny_config("bert"))
    with pytest.raises(DataError, match="not valid Unicode"):
        tokenizer.encode(["good", json.loads('"\\ud800"')])


def test_special_tokens_in_a_text_are_the_tokens_of_plain_transformers(
    tmp_path: Path, models: ModuleType
) -> None:
    from transformers import AutoTokenizer

    place = write_words(
        tmp_path, ["<u>", "<e>", "<p>", "a", "b"], special=("<e>", "<p>", "[E1]", "[/E1]"), template="$A <e>",
        eos_token="<e>", pad_token="<p>", unk_token="<u>",
    )  # fmt: skip
    tokenizer = build_tokenizer(place, models.tiny_config("gpt2"))
    text = "[E1] a [/E1] <e> b<p>"
    assert tokenizer.encode([text]).row(0).tolist() == [5, 3, 6, 1, 4, 2, 1]
    assert AutoTokenizer.from_pretrained(place)(text)["input_ids"] == [5, 3, 6, 1, 4, 2, 1]
    assert "one token each wherever a text has them: [E1], [/E1]" in tokenizer.decisions
    tokenizer.save(tmp_path / "saved", place)
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(text)["input_ids"] == [5, 3, 6, 1, 4, 2, 1]


def test_a_folder_that_splits_special_tokens_keeps_on_doing_so(tmp_path: Path, models: ModuleType) -> None:
    place = write_words(tmp_path, ["<u>", "<e>", "a"], special=("[E1]",), eos_token="<e>", unk_token="<u>")
    stated = json.loads((place / "tokenizer_config.json").read_text())
    (place / "tokenizer_config.json").write_text(json.dumps(stated | {"split_special_tokens": True}))
    assert build_tokenizer(place, models.tiny_config("gpt2")).encode(["a [E1] a"]).row(0).tolist() == [
        2,
        0,
        2,
    ]


def test_also_in_a_unigram_model(tmp_path: Path, models: ModuleType) -> None:
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the quick brown fox jumps over the lazy dog, again and again a story of love"] * 20),
        model_writer=made, vocab_size=45, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    (tmp_path / "spiece.model").write_bytes(made.getvalue())
    tokenizer = build_tokenizer(tmp_path, models.tiny_config("bert", vocab_size=300))
    ids = tokenizer.encode(["fox </s> dog <pad>"]).row(0).tolist()
    assert ids == tokenizer.backend("fox </s> dog <pad>")["input_ids"]
    assert ids.count(tokenizer.backend.eos_token_id) == 2 and ids.count(tokenizer.pad_id) == 1


def write_bpe(place: Path) -> Path:
    from tokenizers import ByteLevelBPETokenizer

    place.mkdir(parents=True, exist_ok=True)
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        ["good bad film"] * 9, vocab_size=280, special_tokens=["<|endoftext|>"], show_progress=False
    )
    bpe.save_model(str(place))
    return place


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "opt"])
def test_an_empty_text_is_one_token_with_finite_logits(name: str, tmp_path: Path, models: ModuleType) -> None:
    from transformers import AutoModelForSequenceClassification

    config = models.tiny_config(name, vocab_size=300)
    tokenizer = build_tokenizer(write_bpe(tmp_path), config)
    table = tokenizer.encode(["", "good film"])
    assert table.row(0).tolist() == [tokenizer.backend.eos_token_id]
    config.pad_token_id = tokenizer.pad_id
    model = AutoModelForSequenceClassification.from_config(config).eval()
    width = int(table.lengths.max())
    ids = torch.full((2, width), tokenizer.pad_id)
    mask = torch.zeros(2, width, dtype=torch.long)
    for i in range(2):
        ids[i, : table.lengths[i]] = torch.from_numpy(table.row(i).astype(np.int64))
        mask[i, : table.lengths[i]] = 1
    with torch.no_grad():
        together = model(input_ids=ids, attention_mask=mask).logits
        alone = model(input_ids=ids[:1, :1], attention_mask=mask[:1, :1]).logits
    assert together.isfinite().all()
    assert (together[0] - alone[0]).abs().max() < 1e-5


def test_bart_rows_end_in_the_token_it_scores(tmp_path: Path, models: ModuleType) -> None:
    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "b"]
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}
    config = models.tiny_config("bart")
    ends = write_words(tmp_path / "ends", words, special=tuple(words[:4]), template="<s> $A </s>", **names)
    tokenizer = build_tokenizer(ends, config)
    table = tokenizer.encode(["a", "<s> b", ""])
    assert [table.row(i).tolist() for i in range(3)] == [[0, 4, 2], [0, 0, 5, 2], [0, 2]]  # one end each
    with pytest.raises(DataError, match="a text holds </s>, the end token"):
        tokenizer.encode(["a", "a </s> b"])
    bare = write_words(tmp_path / "bare", words, special=tuple(words[:4]), **names)
    with pytest.raises(ConfigError, match=r"bart scores the end token \(id 2\)"):
        build_tokenizer(bare, config)
