"""One policy for every tokenizer: PAD, length, truncation, special tokens and empty texts.

Nothing here pads: rows are kept at their own length, and the PAD id is only settled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.table import TokenTable
from ftcli.config import TokenizerConfig
from ftcli.errors import ConfigError, DataError, Problem

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

POLICY_VERSION = 1
"""Part of the fingerprint; raised when the same settings begin to give other ids."""

_DEFAULT_LENGTH = 512
_SHORTEST = 4
_CHUNK = 4096  # rows encoded at a time; bounds the memory of the Rust encodings
_PAD_NAMES = (
    "<pad>", "[PAD]", "<|pad|>", "<PAD>", "<|padding|>", "<|PAD|>", "[pad]", "<|finetune_right_pad_id|>",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TextTokenizer:
    """A fast tokenizer with everything settled."""

    backend: PreTrainedTokenizerBase
    """The Hugging Face tokenizer, for saving and for showing tokens."""
    max_length: int
    """Most tokens a row, special ones included."""
    pad_id: int
    padding_side: str
    vocab_size: int
    """Rows of the model's embedding; every id is below it."""
    token_types: bool
    """Whether the model reads which text of a pair a token is of."""
    empty_id: int | None
    """Only token of a text that would have none; None where special tokens stand in every row."""
    unk_id: int | None
    written_out: tuple[int, ...]
    """Special tokens that this backend reads out of a user's text; put down as unk."""
    decisions: list[str] = field(default_factory=list)
    fingerprint: str = field(init=False)
    """Hex sha256 of what decides the ids."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", self._fingerprint())

    def encode(self, texts: list[str], pairs: list[str] | None = None) -> TokenTable:
        """Tokenises texts, or pairs of texts; cuts the longer of the two first, never a special token.

        Raises:
            ConfigError: `max_length` leaves no room beside the special tokens.
            DataError: a text is not valid Unicode.
        """
        rust = self._ready()
        rows: list[Any] = texts if pairs is None else list(zip(texts, pairs, strict=True))
        self._check_room(rust.num_special_tokens_to_add(pairs is not None), 1 if pairs is None else 2)
        ids, kinds, lengths = [], [], []
        num_truncated = num_tokens_cut = 0
        for chunk in _chunks(rows):
            encodings, cut = self._encode_chunk(rust, chunk)
            num_truncated += len(cut)
            num_tokens_cut += sum(cut)
            for encoding in encodings:
                row = self._ids(encoding)
                ids.append(row)
                kinds.append(np.array(encoding.type_ids or [0], dtype=np.uint8) if self.token_types else None)
                lengths.append(len(row))
        flat = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
        self._check_ids(flat)
        types = np.concatenate(kinds) if self.token_types and kinds else None
        return TokenTable(
            ids=flat,
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            token_types=types,
            labels=None,
            num_truncated=num_truncated,
            num_tokens_cut=num_tokens_cut,
        )

    def _ready(self) -> Any:
        """Returns the Rust tokenizer in the state the policy needs, whoever used it before."""
        rust = self.backend.backend_tokenizer
        rust.no_truncation()
        rust.no_padding()
        rust.encode_special_tokens = True
        return rust

    def _encode_chunk(self, rust: Any, rows: list[Any]) -> tuple[list[Any], list[int]]:
        """Returns the encodings, and for each truncated row how many tokens it lost."""
        encodings = _encode_batch(rust, rows)
        long = [i for i, encoding in enumerate(encodings) if len(encoding) > self.max_length]
        if not long:
            return encodings, []
        rust.enable_truncation(self.max_length, strategy="longest_first")
        shortened = _encode_batch(rust, [rows[i] for i in long])
        rust.no_truncation()
        cut = [len(encodings[i]) - len(short) for i, short in zip(long, shortened, strict=True)]
        for i, short in zip(long, shortened, strict=True):
            encodings[i] = short
        return encodings, cut

    def _ids(self, encoding: Any) -> np.ndarray:
        """Returns the ids of a row, (length,) int32, never empty."""
        if not len(encoding):
            return np.array([self.empty_id], dtype=np.int32)
        ids = np.array(encoding.ids, dtype=np.int32)
        if self.written_out:
            from_text = np.array(encoding.special_tokens_mask) == 0
            ids[from_text & np.isin(ids, self.written_out)] = self.unk_id
        return ids

    def _check_room(self, num_special: int, num_texts: int) -> None:
        if self.max_length < num_special + num_texts:
            message = f"is {self.max_length}, and {num_special} special tokens stand in every row"
            hint = f"set tokenizer.max_length={num_special + num_texts} or more"
            raise ConfigError(Problem("tokenizer.max_length", message, hint))

    def _check_ids(self, ids: np.ndarray) -> None:
        if len(ids) and ids.max() >= self.vocab_size:
            token = self.backend.convert_ids_to_tokens(int(ids.max()))
            message = (
                f"gives {token!r} the id {ids.max()}; the model's vocabulary ends at {self.vocab_size - 1}"
            )
            raise ConfigError(Problem("tokenizer", message, "use the model's own tokenizer: tokenizer=auto"))

    def _fingerprint(self) -> str:
        settings = {
            "policy": POLICY_VERSION,
            "max_length": self.max_length,
            "pad_id": self.pad_id,
            "padding_side": self.padding_side,
            "token_types": self.token_types,
            "empty_id": self.empty_id,
            "written_out": self.written_out,
        }
        text = json.dumps(settings, sort_keys=True) + self._ready().to_str()
        return hashlib.sha256(text.encode()).hexdigest()


def settle(
    backend: PreTrainedTokenizerBase,
    config: TokenizerConfig,
    *,
    model_config: PreTrainedConfig,
    max_positions: int | None,
    padding_side: str,
    decisions: list[str],
) -> TextTokenizer:
    """Settles PAD, length and the rest, with a line for each thing that was decided.

    Raises:
        ConfigError: `max_length` does not fit the model, no token can be PAD, or the model scores an EOS that
            the tokenizer does not write.
    """
    text_config = model_config.get_text_config()
    lines = list(decisions)
    max_length = _settle_length(config, max_positions, lines)
    pad_id = _settle_pad(backend, text_config, lines)
    backend.pad_token = backend.convert_ids_to_tokens(pad_id)
    backend.padding_side = padding_side
    backend.model_max_length = max_length
    written_out = _settle_special(backend, lines)
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
        written_out=written_out,
        decisions=lines,
    )


def _settle_length(config: TokenizerConfig, max_positions: int | None, lines: list[str]) -> int:
    key, length = "tokenizer.max_length", config.max_length
    if length is None:
        length = min(max_positions or _DEFAULT_LENGTH, _DEFAULT_LENGTH)
        limit = f"the model's {max_positions} positions" if max_positions else "no limit in the model"
        lines.append(f"max_length {length}: {limit}, {_DEFAULT_LENGTH} at most unless set")
    elif length < _SHORTEST:
        raise ConfigError(Problem(key, f"is {length}; expected at least {_SHORTEST}"))
    elif max_positions is not None and length > max_positions:
        message = f"is {length}; the model has {max_positions} positions"
        raise ConfigError(Problem(key, message, f"set {key}={max_positions} or less"))
    return length


def _settle_pad(backend: Any, text_config: Any, lines: list[str]) -> int:
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


def _settle_special(backend: Any, lines: list[str]) -> tuple[int, ...]:
    """Keeps `</s>` in a user's text from becoming the end token.

    The backend splits added tokens only where it is told to; a Unigram model still finds them among its
    pieces, and those are replaced by unk afterwards.
    """
    rust = backend.backend_tokenizer
    backend.split_special_tokens = True
    rust.encode_special_tokens = True
    special = {i: token.content for i, token in backend.added_tokens_decoder.items() if token.special}
    special.pop(backend.unk_token_id, None)
    encodings = rust.encode_batch([f"a {content} a" for content in special.values()])
    found = []
    for token_id, encoding in zip(special, encodings, strict=True):
        plain = [i for i, mask in zip(encoding.ids, encoding.special_tokens_mask, strict=True) if not mask]
        if token_id in plain:
            found.append(token_id)
    if found and backend.unk_token_id is None:
        lines.append(f"{special[found[0]]} written out in a text is read as the special token")
        return ()
    if found:
        names = ", ".join(special[i] for i in found[:3]) + (", ..." if len(found) > 3 else "")
        lines.append(f"special tokens written out in a text ({names}) are read as {backend.unk_token}")
    return tuple(found)


def _check_eos(backend: Any, model_config: PreTrainedConfig) -> None:
    """Encoder-decoders (BART, T5) score the last EOS of a row, and need as many of them in every row.

    A tokenizer's template gives every row the same: one for a text, one for a text or three for a pair; none
    can come from the text itself (`_settle_special`).
    """
    if not model_config.is_encoder_decoder:
        return
    eos_id = model_config.eos_token_id
    if _encode(backend, "a")[-1:] != [eos_id]:
        message = (
            f"{model_config.model_type} scores the end token (id {eos_id}); this tokenizer's rows end without"
        )
        raise ConfigError(Problem("tokenizer", message, "use the model's own tokenizer: tokenizer=auto"))


def _chunks(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def _encode_batch(rust: Any, rows: list[Any]) -> list[Any]:
    try:
        return rust.encode_batch_fast(rows)
    except (TypeError, UnicodeError) as error:
        for row in rows:
            for text in (row,) if isinstance(row, str) else row:
                if not isinstance(text, str) or not _is_unicode(text):
                    message = f"a text is not valid Unicode: {text!r:.80}"
                    raise DataError(Problem("data", message, "repair the file's encoding")) from error
        raise


def _is_unicode(text: str) -> bool:
    # Half of a surrogate pair, as JSON's "\ud800" gives, cannot be encoded.
    return not any("\ud800" <= char <= "\udfff" for char in text)
