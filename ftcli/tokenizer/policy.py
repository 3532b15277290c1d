"""One policy for every tokenizer: PAD, length, special tokens and empty texts are decided once, with a line for each.

A special token that stands in a user's text is read as that token, as plain transformers reads it: entity markers that
were added to the vocabulary, and `[SEP]` or `</s>` written out. `ftcli check-data` counts the latter.

Nothing is padded here: rows keep their own length, and collation fills them up with the PAD id that is chosen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftcli.config.schema import TokenizerConfig
from ftcli.errors import ConfigError, Problem
from ftcli.tokenizer.text import TextTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

_DEFAULT_LENGTH = 512
_SHORTEST = 4
_SHOWN = 6
_PAD_NAMES = (
    "<pad>", "[PAD]", "<|pad|>", "<PAD>", "<|padding|>", "<|PAD|>", "[pad]", "<|finetune_right_pad_id|>",
)  # fmt: skip


def apply_policy(
    backend: PreTrainedTokenizerBase,
    config: TokenizerConfig,
    *,
    model_config: PreTrainedConfig,
    max_positions: int | None,
    padding_side: str,
    decisions: list[str],
) -> TextTokenizer:
    """Returns the tokenizer of a run, with PAD, length and the rest decided.

    Args:
        backend: as its files describe it; changed in place.
        config: of the tokenizer.
        model_config: of the model; its vocabulary and special ids bound the choices.
        max_positions: most tokens of a row, None for no limit.
        padding_side: `right` or `left`, by architecture.
        decisions: lines on what was decided before; the result has them first.

    Raises:
        ConfigError: `max_length` does not fit the model, no token can be PAD, or the model scores an EOS that
            the tokenizer does not write.
    """
    text_config = model_config.get_text_config()
    lines = list(decisions)
    _check_ids(backend, text_config.vocab_size)
    max_length = _max_length(config, max_positions, lines)
    pad_id = _pad_id(backend, text_config, lines)
    backend.pad_token = backend.convert_ids_to_tokens(pad_id)
    backend.padding_side = padding_side
    backend.model_max_length = max_length
    backend.backend_tokenizer.encode_special_tokens = bool(backend.split_special_tokens)
    if own := _own_special(backend):
        more = f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
        lines.append(f"one token each wherever a text has them: {', '.join(own[:_SHOWN])}{more}")
    empty_id = None
    if not _encode(backend, ""):
        empty_id = backend.eos_token_id if _fits(backend.eos_token_id, text_config.vocab_size) else pad_id
        lines.append(f"a text without tokens becomes the one token {_name(backend, empty_id)}")
    _check_eos(backend, model_config)
    return TextTokenizer(
        backend=backend,
        max_length=max_length,
        pad_id=pad_id,
        padding_side=padding_side,
        vocab_size=text_config.vocab_size,
        token_types=int(getattr(text_config, "type_vocab_size", 0) or 0) > 1,
        empty_id=empty_id,
        unk_id=backend.unk_token_id,
        single_end=model_config.eos_token_id if model_config.is_encoder_decoder else None,
        decisions=lines,
    )


def _max_length(config: TokenizerConfig, max_positions: int | None, lines: list[str]) -> int:
    key, length = "tokenizer.max_length", config.max_length
    if length is None:
        length = min(max_positions or _DEFAULT_LENGTH, _DEFAULT_LENGTH)
        limit = f"the model's {max_positions} positions" if max_positions else "no limit in the model"
        lines.append(f"max_length {length}: {limit}, {_DEFAULT_LENGTH} at most unless set")
    elif length < _SHORTEST:
        raise ConfigError(Problem(key, f"is {length}; expected at least {_SHORTEST}", f"set {key}=128"))
    elif max_positions is not None and length > max_positions:
        message = f"is {length}; the model has {max_positions} positions"
        raise ConfigError(Problem(key, message, f"set {key}={max_positions} or less"))
    return length


def _pad_id(backend: Any, text_config: Any, lines: list[str]) -> int:
    """Returns the id that fills rows up, in the order of how surely it means PAD."""
    vocab = backend.get_vocab()
    eos_id, unk_id = backend.eos_token_id, backend.unk_token_id
    candidates = [
        (backend.pad_token_id, "the tokenizer's own"),
        (text_config.pad_token_id, "the model's own"),
    ]
    candidates += [(vocab.get(name), "found in the vocabulary") for name in _PAD_NAMES]
    candidates += [(unk_id if unk_id != eos_id else None, "the unknown token, as there is no PAD")]
    candidates += [(eos_id, "the end token, as there is no PAD")]
    for pad_id, why in candidates:
        if _fits(pad_id, text_config.vocab_size) and backend.convert_ids_to_tokens(pad_id) is not None:
            lines.append(f"PAD is {_name(backend, pad_id)}, {why}{_ends_rows(backend, pad_id)}")
            return pad_id
    message = "has no token that could be PAD, nor an unknown or end token within the model's vocabulary"
    raise ConfigError(Problem("tokenizer", message, "add a pad_token to its tokenizer_config.json"))


def _fits(token_id: int | None, vocab_size: int) -> bool:
    return token_id is not None and 0 <= token_id < vocab_size


def _ends_rows(backend: Any, pad_id: int) -> str:
    """Says where PAD is a real token too; a decoder's classifier scores the last token that is not PAD."""
    if _encode(backend, "a")[-1:] == [pad_id]:
        return "; every row ends in it too, and a decoder scores the token before"
    special = {i for i, token in backend.added_tokens_decoder.items() if token.special}
    if pad_id not in special:
        return "; an ordinary token that a text can end in, which a decoder then does not score"
    return ""


def _name(backend: Any, token_id: int) -> str:
    return f"{backend.convert_ids_to_tokens(token_id)} (id {token_id})"


def _encode(backend: Any, text: str) -> list[int]:
    rust = backend.backend_tokenizer
    rust.no_truncation()
    rust.no_padding()
    return rust.encode(text).ids


def _own_special(backend: Any) -> list[str]:
    """Returns the special tokens that no role (CLS, SEP, PAD, ...) has: those that the user added to mark texts."""
    if backend.split_special_tokens:
        return []
    roles = {str(token) for name in backend.SPECIAL_TOKENS_ATTRIBUTES if (token := getattr(backend, name, None)) and isinstance(token, str)}  # fmt: skip
    return [t.content for _, t in sorted(backend.added_tokens_decoder.items()) if t.special and t.content not in roles]  # fmt: skip


def _check_ids(backend: Any, vocab_size: int) -> None:
    """Raises ConfigError where a token has no row in the embedding; a PAD without one is left to `_pad_id`."""
    beyond = {i: token for token, i in backend.get_vocab().items() if i >= vocab_size and token != backend.pad_token}  # fmt: skip
    if beyond:
        last = max(beyond)
        message = (
            f"gives {beyond[last]!r} the id {last}; the model's embedding ends at {vocab_size - 1} ({len(beyond):,} "
            f"token{'s' if len(beyond) > 1 else ''} beyond it)"
        )
        hint = "in transformers type model.resize_token_embeddings(len(tokenizer)), save both in one folder and set model.path=DIR"
        raise ConfigError(Problem("tokenizer", message, hint))


def _check_eos(backend: Any, model_config: PreTrainedConfig) -> None:
    """Encoder-decoders (BART, T5) score the last EOS of a row, and need as many of them in every row.

    A tokenizer's template gives every row the same: one for a text, one for a text or three for a pair. A text that
    has one more is refused when it is read (`TextTokenizer.require_template_ends`).
    """
    if not model_config.is_encoder_decoder:
        return
    eos_id = model_config.eos_token_id
    if _encode(backend, "a")[-1:] != [eos_id]:
        message = (
            f"{model_config.model_type} scores the end token (id {eos_id}); this tokenizer's rows end without"
        )
        raise ConfigError(Problem("tokenizer", message, "use the model's own tokenizer: tokenizer=auto"))
