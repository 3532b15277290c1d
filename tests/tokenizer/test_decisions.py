"""What is decided for the user, what a row looks like, and whose tokenizer trained weights accept."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers import models as kinds

from ftcli.config.schema import TokenizerConfig
from ftcli.errors import ConfigError, DataError, SourceError
from ftcli.hub.resolve import Source
from ftcli.model.architecture import max_positions, padding_side
from ftcli.tokenizer import auto, folder
from ftcli.tokenizer.folder import FolderTokenizerConfig
from ftcli.tokenizer.text import TextTokenizer


def source_of(place: Path) -> Source:
    return Source(origin="test", folder=place, config_file=place / "config.json")


def build_tokenizer(place: Path, model_config: Any, *, max_length: int | None = None) -> TextTokenizer:
    return auto.build(
        TokenizerConfig(max_length=max_length),
        model_source=source_of(place),
        random_weights=False,
        model_config=model_config,
        max_positions=max_positions(model_config),
        padding_side=padding_side(model_config),
    )


def write_words(
    place: Path, words: list[str], *, special: tuple[str, ...] = (), template: str = "", **names: str
) -> Path:
    """A tokenizer.json that splits at spaces; ids are places in `words`; `names` such as eos_token."""
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(kinds.WordLevel(ids, unk_token=names.get("unk_token", words[0])))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(special))
    if template:
        used = [(word, ids[word]) for word in words if word in template.split()]
        backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=used)
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(place)
    return place


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


def test_a_pad_that_ends_rows_is_told(tmp_path: Path, models: ModuleType) -> None:
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


# --- rows; ids by hand from the order of the words in tests/support/tiny_weights.py: [CLS] 2, [SEP] 3, good 5, bad 6, ...


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


# --- special tokens in a text, empty texts, end tokens


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


# --- tokenizer=folder


def from_folder(place: str | None, model: Path, model_config: Any, *, random: bool) -> TextTokenizer:
    return folder.build(
        FolderTokenizerConfig(path=place),
        model_source=source_of(model),
        random_weights=random,
        model_config=model_config,
        max_positions=max_positions(model_config),
        padding_side="right",
    )


def test_the_models_own_map_from_another_folder_is_accepted(tmp_path: Path, models: ModuleType) -> None:
    own, copy = models.write_wordpiece(tmp_path / "own"), models.write_wordpiece(tmp_path / "copy")
    config = models.tiny_config("bert")
    assert from_folder(str(copy), own, config, random=False).encode(["good"]).row(0).tolist() == [2, 5, 3]


def test_another_map_needs_random_weights(tmp_path: Path, models: ModuleType) -> None:
    own, other = models.write_wordpiece(tmp_path / "own"), models.write_wordpiece(tmp_path / "other")
    vocab = other / "vocab.txt"
    vocab.write_text(vocab.read_text().replace("good\nbad", "bad\ngood"))
    config = models.tiny_config("bert")
    with pytest.raises(ConfigError) as error:
        from_folder(str(other), own, config, random=False)
    assert error.value.problems[0].key == "tokenizer.path"
    assert "'good' the id 6; the model's own tokenizer 5 (2 tokens differ)" in error.value.problems[0].message
    assert from_folder(str(other), own, config, random=True).encode(["good"]).row(0).tolist() == [2, 6, 3]


def test_trained_weights_without_their_tokenizer_accept_none(tmp_path: Path, models: ModuleType) -> None:
    (tmp_path / "empty").mkdir()
    place = models.write_wordpiece(tmp_path / "t")
    with pytest.raises(ConfigError, match="cannot be compared"):
        from_folder(str(place), tmp_path / "empty", models.tiny_config("bert"), random=False)
    assert from_folder(str(place), tmp_path / "empty", models.tiny_config("bert"), random=True).pad_id == 0


def test_random_weights_need_room_for_every_id(tmp_path: Path, models: ModuleType) -> None:
    place = models.write_wordpiece(tmp_path)
    from_folder(str(place), place, models.tiny_config("bert", vocab_size=18), random=True)
    with pytest.raises(ConfigError, match="'##ly' has id 17; config.json has a vocab_size of 17"):
        from_folder(str(place), place, models.tiny_config("bert", vocab_size=17), random=True)


def test_a_folder_has_to_be_given_and_be_there(tmp_path: Path, models: ModuleType) -> None:
    config = models.tiny_config("bert")
    with pytest.raises(ConfigError, match=r"tokenizer\.path: is not set"):
        from_folder(None, tmp_path, config, random=True)
    with pytest.raises(SourceError, match="is not a folder"):
        from_folder(str(tmp_path / "no"), tmp_path, config, random=True)
    with pytest.raises(SourceError, match="has no tokenizer"):
        from_folder(str(tmp_path), tmp_path, config, random=True)
