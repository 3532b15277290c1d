"""The model's own tokenizer, out of the model's own files."""

from __future__ import annotations

from typing import Any

from ftcli.config import TokenizerConfig
from ftcli.registry import register
from ftcli.tokenizer.policy import TextTokenizer, load_backend, settle


@register("tokenizer", TokenizerConfig)
def build(
    config: TokenizerConfig,
    *,
    model_source: Any,
    random_weights: bool,
    model_config: Any,
    max_positions: int | None,
    padding_side: str,
) -> TextTokenizer:
    """Returns the tokenizer that the model was pretrained with.

    Raises:
        SourceError: the model's files hold no fast tokenizer.
        ConfigError: a length or a vocabulary that does not fit the model.
    """
    backend = load_backend(model_source.folder, model_config, "tokenizer")
    return settle(
        backend, config, model_config=model_config, max_positions=max_positions, padding_side=padding_side, decisions=[]
    )
