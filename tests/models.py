"""Tiny random models of every architecture that is proved, and folders with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_ENCODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
_DECODER = {**_ENCODER, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 20}

# 20 usable positions each; RoBERTa's table has two rows more, for positions start after PAD id 1.
_FIELDS: dict[str, dict[str, Any]] = {
    "bert": {**_ENCODER, "max_position_embeddings": 20},
    "roberta": {**_ENCODER, "max_position_embeddings": 22, "pad_token_id": 1, "type_vocab_size": 1},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 20},
    "deberta-v2": {
        **_ENCODER, "max_position_embeddings": 20, "relative_attention": True, "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "norm_rel_ebd": "layer_norm",
        "position_biased_input": False, "type_vocab_size": 0, "pooler_hidden_size": 16,
    },
    "albert": {**_ENCODER, "embedding_size": 8, "max_position_embeddings": 20},
    "electra": {**_ENCODER, "embedding_size": 8, "max_position_embeddings": 20},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 20, "bos_token_id": 2, "eos_token_id": 2},
    "opt": {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 24,
        "word_embed_proj_dim": 16, "max_position_embeddings": 20, "pad_token_id": 1,
    },
    "llama": {**_DECODER, "num_key_value_heads": 2},
    "qwen2": {**_DECODER, "num_key_value_heads": 1},
    "bart": {
        "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
        "max_position_embeddings": 20, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
    },
}  # fmt: skip

ARCHITECTURES = tuple(_FIELDS)
"""The architectures with a proved sequence classifier."""


def tiny_config(architecture: str, *, vocab_size: int = 48, **changes: Any) -> Any:
    """Returns a config of 2 layers, width 16 and 20 usable positions, with the architecture's own dropout.

    Weights are drawn with a standard deviation of 0.3, so that logits depend visibly on every token.
    """
    from transformers import CONFIG_MAPPING

    spread = {"init_std": 0.3} if architecture in ("opt", "bart") else {"initializer_range": 0.3}
    fields = {"vocab_size": vocab_size, **spread, **_FIELDS[architecture], **changes}
    return CONFIG_MAPPING[architecture](**fields)


def write_config(folder: Path, architecture: str, **changes: Any) -> Path:
    """Writes only config.json; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_config(architecture, **changes).save_pretrained(folder)
    return folder


def write_model(
    folder: Path, architecture: str, *, head: bool = False, labels: int = 2, seed: int = 0, **changes: Any
) -> Path:
    """Writes config.json and model.safetensors; the base model alone, or with a classification head."""
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    config = tiny_config(architecture, **changes)
    config.num_labels = labels
    if config.pad_token_id is None:
        config.pad_token_id = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind = AutoModelForSequenceClassification if head else AutoModel
        kind.from_config(config).save_pretrained(folder)
    return folder


WORDS = ("good", "bad", "film", "story", "a", "the", "not", "very", "and", "was", "un", "##like", "##ly")


def write_wordpiece(folder: Path) -> Path:
    """Writes a vocab.txt of lower-case words, 18 tokens with PAD 0; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder
