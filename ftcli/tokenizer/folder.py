"""A tokenizer out of a folder of its own; it must agree with the model's, unless the weights are random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftcli.config import TokenizerConfig
from ftcli.errors import ConfigError, Problem, SourceError
from ftcli.registry import register
from ftcli.tokenizer.policy import TextTokenizer, load_backend, settle


@dataclass(kw_only=True, slots=True)
class FolderTokenizerConfig(TokenizerConfig):
    path: str | None = None
    """Folder with tokenizer.json, vocab.txt, vocab.json and merges.txt, or a sentencepiece model."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before anything is read."""
        return [] if self.path else [Problem("tokenizer.path", "is not set", "type tokenizer.path=DIR")]


@register("tokenizer", FolderTokenizerConfig)
def build(
    config: FolderTokenizerConfig,
    *,
    model_source: Any,
    random_weights: bool,
    model_config: Any,
    max_positions: int | None,
    padding_side: str,
) -> TextTokenizer:
    """Returns the tokenizer of `tokenizer.path`.

    Raises:
        ConfigError: pretrained weights and a token-to-id map other than the model's own.
        SourceError: no tokenizer in the folder, or none beside the model to compare it with.
    """
    assert config.path is not None
    backend = load_backend(Path(config.path).expanduser(), model_config, "tokenizer.path")
    decisions = [f"tokenizer from {config.path}"]
    if random_weights:
        decisions.append("the weights are random, so any vocabulary that fits will do")
    else:
        _require_same(backend.get_vocab(), model_source, model_config, config.path)
    return settle(
        backend,
        config,
        model_config=model_config,
        max_positions=max_positions,
        padding_side=padding_side,
        decisions=decisions,
    )


def _require_same(vocabulary: dict[str, int], model_source: Any, model_config: Any, path: str) -> None:
    try:
        own = load_backend(model_source.folder, model_config, "tokenizer.path").get_vocab()
    except SourceError as error:
        message = f"{model_source.origin} has no tokenizer to compare {path} with"
        raise SourceError(Problem("tokenizer.path", message, "copy the tokenizer into the model's folder")) from error
    if own == vocabulary:
        return
    differing = [token for token in own.keys() | vocabulary.keys() if own.get(token) != vocabulary.get(token)]
    sample = min(differing)
    message = (
        f"{path} maps {len(differing):,} tokens to other ids than the model's own tokenizer, such as {sample!r}: "
        f"{vocabulary.get(sample)} instead of {own.get(sample)}"
    )
    raise ConfigError(Problem("tokenizer.path", message, "use the model's own: tokenizer=auto, or model.weights=random"))
