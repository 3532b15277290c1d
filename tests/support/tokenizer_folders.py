"""Tokenizers built from a folder, and folders of a tokenizer whose ids are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers import models as kinds

from ftcli.config.schema import TokenizerConfig
from ftcli.hub.resolve import Source
from ftcli.model.architecture import max_positions, padding_side
from ftcli.tokenizer import auto
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
