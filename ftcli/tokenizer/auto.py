"""tokenizer=auto: the tokenizer that came with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.config.registry import register
from ftcli.config.schema import TokenizerConfig
from ftcli.hub.resolve import Source
from ftcli.tokenizer.files import load_backend
from ftcli.tokenizer.policy import TextTokenizer, apply_policy

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@register("tokenizer", TokenizerConfig)
def build(
    config: TokenizerConfig,
    *,
    model_source: Source,
    random_weights: bool,
    model_config: PreTrainedConfig,
    max_positions: int | None,
    padding_side: str,
) -> TextTokenizer:
    """Reads the tokenizer in the model's folder and applies the policy.

    Args:
        random_weights: taken by every tokenizer choice; the model's own tokenizer fits either way.
        max_positions: most tokens a row, None for no limit.
        padding_side: `right` or `left`, by architecture.

    Raises:
        SourceError: the model came without tokenizer files, or they cannot be read.
        ConfigError: see `policy.apply_policy`.
    """
    backend, decisions = load_backend(model_source.folder, model_config, model_source.key)
    return apply_policy(
        backend,
        config,
        model_config=model_config,
        max_positions=max_positions,
        padding_side=padding_side,
        decisions=decisions,
    )
