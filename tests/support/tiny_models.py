"""Tiny architectures with random weights and a word tokenizer, written as folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = [
    "the",
    "a",
    "film",
    "book",
    "meal",
    "room",
    "phone",
    "was",
    "is",
    "felt",
    "looked",
    "good",
    "great",
    "superb",
    "lovely",
    "warm",
    "bad",
    "awful",
    "dull",
    "cold",
    "broken",
    "very",
    "not",
    "never",
    "quite",
    "really",
    "and",
    "but",
    "with",
    "in",
    "every",
    "way",
    "story",
    "taste",
    "view",
    "sound",
    "service",
    "music",
    "end",
    "start",
    "again",
]  # noqa: SIM905 - read as a sentence
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
VOCABULARY = len(WORDS) + len(SPECIAL)

_WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
_ENCODER = {**_WIDTH, "max_position_embeddings": 40, "type_vocab_size": 2}
_DECODER = {**_WIDTH, "max_position_embeddings": 40, "bos_token_id": 1, "eos_token_id": 2}

GPT2_SMALL = {
    "model_type": "gpt2",
    "vocab_size": 50257,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_positions": 1024,
}
"""The real shape of GPT-2 small, for counts that anybody can look up."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": _ENCODER,
    "roberta": {**_ENCODER, "type_vocab_size": 1},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 40},
    "deberta-v2": {
        **_ENCODER,
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_buckets": 16,
        "max_relative_positions": -1,
    },
    "albert": {**_ENCODER, "embedding_size": 16, "num_hidden_groups": 1},
    "electra": {**_ENCODER, "embedding_size": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40, "bos_token_id": 2, "eos_token_id": 2},
    "opt": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 48,
        "max_position_embeddings": 40, "word_embed_proj_dim": 32,
    },
    "llama": {**_DECODER, "num_key_value_heads": 2},
    "qwen2": {**_DECODER, "num_key_value_heads": 2},
    "bart": {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 40,
        "eos_token_id": 2, "bos_token_id": 1, "decoder_start_token_id": 2, "forced_eos_token_id": 2,
    },
}  # fmt: skip
"""Architecture -> fields of its config.json."""

IMAGES: dict[str, dict[str, Any]] = {
    "vit": {**_WIDTH, "image_size": 16, "patch_size": 4},
    "convnext": {"hidden_sizes": [8, 16, 24], "depths": [1, 2, 1], "num_stages": 3, "image_size": 32, "layer_scale_init_value": 0.5},
}  # fmt: skip
"""Image architectures -> fields of their config.json."""

NO_SPECIAL = ("gpt2", "llama", "qwen2")
"""Tokenizers of these add nothing to a text."""
NO_PAD = ("gpt2", "llama")
"""Tokenizers of these declare no PAD."""


def write_model(folder: Path, name: str) -> Path:
    """Writes config.json and tokenizer files; no weights: use model.weights=random."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    if name in IMAGES:
        fields = {"model_type": name, "initializer_range": 0.2, **IMAGES[name]}
        (folder / "config.json").write_text(json.dumps(fields))
        return folder
    wide = {"initializer_range": 0.2, "init_std": 0.2}
    fields = {"model_type": name, "vocab_size": VOCABULARY, **wide, **ARCHITECTURES[name]}
    if name not in NO_PAD:
        fields["pad_token_id"] = 0
    (folder / "config.json").write_text(json.dumps(fields))
    if name == "qwen2":
        # transformers builds this architecture's own byte-level BPE class whatever tokenizer.json holds.
        fields["vocab_size"] = 400
        (folder / "config.json").write_text(json.dumps(fields))
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        backend.train_from_iterator(
            [" ".join(WORDS)] * 3,
            trainers.BpeTrainer(
                vocab_size=390, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
            ),
        )
    else:
        special = ["<filler>", *SPECIAL[1:]] if name in NO_PAD else SPECIAL
        ids = {word: i for i, word in enumerate([*special, *WORDS])}
        backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if name not in NO_SPECIAL:
        pair = [("<s>", 1), ("</s>", 2)]
        types = ":1" if fields.get("type_vocab_size") == 2 else ""
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair=f"<s> $A </s> $B{types} </s>{types}", special_tokens=pair
        )
    tokens = {"unk_token": "<unk>", "eos_token": "</s>", "bos_token": "<s>"}
    if name not in NO_PAD:
        tokens["pad_token"] = "<pad>"
    PreTrainedTokenizerFast(tokenizer_object=backend, **tokens).save_pretrained(folder)
    return folder


def write_rows(folder: Path, *, train: int = 48, validation: int = 16) -> Path:
    """Writes train.tsv and validation.tsv with `text` and `label`; good words are positive."""
    import random

    draw = random.Random(7)
    good, bad = WORDS[11:16], WORDS[16:21]
    things, rest = WORDS[2:7], WORDS[21:]
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", train), ("validation", validation)):
        lines = ["text\tlabel"]
        for number in range(count):
            positive = number % 2 == 0
            words = [
                "the",
                draw.choice(things),
                "was",
                *draw.sample(rest, draw.randint(0, 6)),
                draw.choice(good if positive else bad),
            ]
            lines.append(" ".join(words) + "\t" + ("positive" if positive else "negative"))
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder
