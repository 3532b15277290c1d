"""Configs and weights of the tiny architectures, and a wordpiece vocabulary, for tests without a tokenizer folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_models import ARCHITECTURES as _FIELDS

# 20 usable positions each; RoBERTa's table has two rows more, for positions start after PAD id 1.
_POSITIONS = {"gpt2": {"n_positions": 20}, "roberta": {"max_position_embeddings": 22}}
_PAD = {"roberta": 1, "opt": 1, "bart": 1}

ARCHITECTURES = tuple(_FIELDS)
"""The architectures with a proved sequence classifier."""


def tiny_config(architecture: str, *, vocab_size: int = 48, **changes: Any) -> Any:
    """Returns a config of 2 layers, width 32 and 20 usable positions, with the architecture's own dropout.

    Weights are drawn with a standard deviation of 0.2, so that logits depend visibly on every token.
    """
    from transformers import CONFIG_MAPPING

    spread = {"init_std": 0.2} if architecture in ("opt", "bart") else {"initializer_range": 0.2}
    positions = _POSITIONS.get(architecture, {"max_position_embeddings": 20})
    pad = {"pad_token_id": _PAD[architecture]} if architecture in _PAD else {}
    own = {"vocab_size": vocab_size, **spread, **_FIELDS[architecture]}
    return CONFIG_MAPPING[architecture](**own | positions | pad | changes)


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
