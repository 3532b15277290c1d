"""Characters of the context that tokens stand for, with every kind of tokenizer and odd characters."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from ftcli.tokenizer.windows import _pair

PARTS = [
    "a",
    "film",
    "Zoë",
    "naïve",
    "日本",
    "😀",
    "👨‍👩‍👧",
    "e\u0301te\u0301",
    "x.y",
    "—",
    "São",
    "ﬁne",
    "½",
    "１２",
]
TEXTS = [" ".join(PARTS)] * 5 + ["the film was good"] * 5
ALPHABET = pre_tokenizers.ByteLevel.alphabet()


class Ids:
    def row_ids(self, encoding):
        return np.array(encoding.ids, dtype=np.int32)


def unigram() -> Tokenizer:
    """As in ALBERT and DeBERTa-v3."""
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    made.train_from_iterator(TEXTS, trainers.UnigramTrainer(vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False))  # fmt: skip
    return made


def wordpiece() -> Tokenizer:
    """As in BERT, lower case and without accents."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=150, special_tokens=["[UNK]"], show_progress=False))  # fmt: skip
    return made


def byte_level(prefix: bool = False) -> Tokenizer:
    """As in GPT-2: the space before a word is part of its token."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=ALPHABET, show_progress=False))  # fmt: skip
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def roberta() -> Tokenizer:
    made = byte_level(prefix=True)
    made.add_special_tokens(["<s>", "</s>"])
    ends = [(name, made.token_to_id(name)) for name in ("</s>", "<s>")]
    made.post_processor = processors.RobertaProcessing(*ends, trim_offsets=True)
    return made


@pytest.mark.parametrize("make", [unigram, wordpiece, byte_level, roberta])
def test_tokens_give_every_word_back_exactly(make):
    tokenizer, draw = make(), random.Random(0)
    for _ in range(300):
        drawn = [(draw.choice(PARTS), draw.choice([" ", "  ", "\n", "\t "])) for _ in range(draw.randint(1, 9))]  # fmt: skip
        context = "".join(word + space for word, space in drawn)
        pair = _pair(Ids(), tokenizer.encode("was it", context), context)
        real = np.flatnonzero(pair.ends > pair.starts)
        assert pair.first <= real[0] and real[-1] < pair.stop
        start = 0
        for word, space in drawn:
            first = real[np.searchsorted(pair.ends[real], start, side="right")]
            last = real[np.searchsorted(pair.starts[real], start + len(word)) - 1]
            assert context[pair.starts[first] : pair.ends[last]] == word
            start += len(word + space)
