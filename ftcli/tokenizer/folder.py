"""tokenizer=folder: a tokenizer from a folder of its own.

Trained weights know a token by its id, so they accept no other tokenizer than their own; random weights accept
any whose ids fit the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.config.registry import register
from ftcli.config.regular_file import expanded, is_file, is_folder
from ftcli.config.schema import TokenizerConfig
from ftcli.config.shell_word import shell_word
from ftcli.errors import ConfigError, Problem, SourceError
from ftcli.hub.resolve import Source
from ftcli.tokenizer.files import load_backend
from ftcli.tokenizer.policy import TextTokenizer, apply_policy

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(kw_only=True, slots=True)
class FolderTokenizerConfig(TokenizerConfig):
    path: str | None = None
    """Folder with tokenizer.json, vocab.txt, vocab.json and merges.txt, or spiece.model."""


@register("tokenizer", FolderTokenizerConfig)
def build(
    config: FolderTokenizerConfig,
    *,
    model_source: Source,
    random_weights: bool,
    model_config: PreTrainedConfig,
    max_positions: int | None,
    padding_side: str,
) -> TextTokenizer:
    """Reads the tokenizer in `config.path`, checks that it suits the weights, and applies the policy.

    Args:
        random_weights: True lifts the demand that every token has the id it has in the model's own tokenizer.
        max_positions: most tokens a row, None for no limit.
        padding_side: `right` or `left`, by architecture.

    Raises:
        SourceError: no such folder, or no tokenizer in it that can be read.
        ConfigError: the tokenizer does not suit the weights; see also `policy.apply_policy`.
    """
    backend, decisions = load_backend(_folder(config.path), model_config, "tokenizer.path")
    if random_weights:
        _check_size(backend, model_config.get_text_config().vocab_size)
    else:
        _check_same(backend, model_source, model_config)
    return apply_policy(
        backend,
        config,
        model_config=model_config,
        max_positions=max_positions,
        padding_side=padding_side,
        decisions=decisions,
    )


def _folder(path: str | None) -> Path:
    if not path:
        message = "is not set; tokenizer=folder needs a folder"
        raise ConfigError(
            Problem("tokenizer.path", message, "set tokenizer.path=DIR or choose tokenizer=auto")
        )
    folder = expanded(path)
    if not is_folder(folder):
        hint = f"set {shell_word('tokenizer.path', str(folder.parent))}" if is_file(folder) else ""
        raise SourceError(Problem("tokenizer.path", f"{path} is not a folder", hint))
    return folder


def _check_size(backend: Any, vocab_size: int) -> None:
    token, largest = max(backend.get_vocab().items(), key=lambda item: item[1])
    if largest >= vocab_size:
        message = f"its token {token!r} has id {largest}; config.json has a vocab_size of {vocab_size}"
        hint = f"set vocab_size to {largest + 1} or more in config.json"
        raise ConfigError(Problem("tokenizer.path", message, hint))


def _check_same(backend: Any, model_source: Source, model_config: PreTrainedConfig) -> None:
    hint = "choose tokenizer=auto, or model.weights=random to train from nothing"
    try:
        own, _ = load_backend(model_source.folder, model_config, model_source.key)
    except SourceError as error:
        message = f"cannot be compared with the tokenizer of the model: {error}"
        raise ConfigError(Problem("tokenizer.path", message, hint)) from error
    theirs, ours = backend.get_vocab(), own.get_vocab()
    if theirs != ours:
        differing = [
            token for token, i in sorted(ours.items(), key=lambda item: item[1]) if theirs.get(token) != i
        ]
        differing += sorted(theirs.keys() - ours.keys())
        token = differing[0]
        message = (
            f"gives {token!r} the id {theirs.get(token)}; the model's own tokenizer {ours.get(token)} "
            f"({len(differing)} tokens differ), and its weights are trained"
        )
        raise ConfigError(Problem("tokenizer.path", message, hint))
