"""What every tokenizer choice shares: PAD, padding side, length, and encoding into flat arrays."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.table import TokenTable, concat
from ftcli.errors import ConfigError, Problem, SourceError

if TYPE_CHECKING:
    from ftcli.config import TokenizerConfig

PAD_LIKE = ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>", "<|endoftext|>")
"""Tokens that vocabularies hold for padding without declaring it; the last only beside another EOS."""
DEFAULT_LENGTH = 512
SHORTEST = 4
CHUNK = 4096
"""Rows encoded at a time, so that memory holds few Python lists."""


@dataclass(slots=True)
class TextTokenizer:
    """A fast tokenizer whose PAD, side and length are settled.

    `decisions` are lines to print; `fingerprint` is the sha256 of everything that decides ids.
    """

    backend: Any
    max_length: int
    pad_id: int
    padding_side: str
    token_types: bool
    """Whether the model reads which text of a pair a token is of."""
    decisions: list[str] = field(default_factory=list)
    fingerprint: str = ""

    def encode(self, texts: list[str], pairs: list[str] | None) -> TokenTable:
        """Returns the token ids of each row, special tokens included, cut to `max_length`.

        A row that is too long loses tokens from the longer of its texts first; special tokens stay.
        An empty row of a tokenizer without special tokens holds no token; the collation makes it one.
        """
        starts = range(0, max(len(texts), 1), CHUNK)
        return concat([self._chunk(texts[s : s + CHUNK], pairs[s : s + CHUNK] if pairs else None) for s in starts])

    def _chunk(self, texts: list[str], pairs: list[str] | None) -> TokenTable:
        if not texts:
            return TokenTable(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.uint8) if self.token_types else None)
        encoded = self._call(texts, pairs, truncate=False)
        ids, types = encoded["input_ids"], encoded.get("token_type_ids")
        long = [i for i, row in enumerate(ids) if len(row) > self.max_length]
        lost = sum(len(ids[i]) - self.max_length for i in long)
        if long:
            again = self._call([texts[i] for i in long], [pairs[i] for i in long] if pairs else None, truncate=True)
            for place, i in enumerate(long):
                ids[i] = again["input_ids"][place]
                if types is not None:
                    types[i] = again["token_type_ids"][place]
        offsets = np.cumsum([0, *(len(row) for row in ids)], dtype=np.int64)
        flat = np.fromiter((token for row in ids for token in row), dtype=np.int32, count=int(offsets[-1]))
        kinds = None
        if types is not None:
            kinds = np.fromiter((kind for row in types for kind in row), dtype=np.uint8, count=int(offsets[-1]))
        return TokenTable(flat, offsets, kinds, None, len(long), lost)

    def _call(self, texts: list[str], pairs: list[str] | None, *, truncate: bool) -> Any:
        options: dict[str, Any] = {"truncation": "longest_first", "max_length": self.max_length} if truncate else {}
        return self.backend(
            texts, pairs, add_special_tokens=True, return_attention_mask=False,
            return_token_type_ids=self.token_types, verbose=False, **options,
        )  # fmt: skip


def settle(
    backend: Any,
    config: TokenizerConfig,
    *,
    model_config: Any,
    max_positions: int | None,
    padding_side: str,
    decisions: list[str],
) -> TextTokenizer:
    """Settles PAD, side, length and the reading of special tokens inside texts.

    Raises:
        ConfigError: a length the model has no positions for, or a vocabulary larger than the embedding.
    """
    pad_token, pad_id, why = _choose_pad(backend, model_config)
    decisions.append(f"PAD is {pad_token!r} (id {pad_id}): {why}; padding on the {padding_side}")
    backend.pad_token = pad_token
    backend.padding_side = padding_side
    backend.truncation_side = "right"
    if hasattr(backend, "split_special_tokens"):
        # A text that spells a special token out is text, not an instruction to the model.
        backend.split_special_tokens = True
    backend.model_max_length = int(1e9)
    _check_vocabulary(backend, model_config)
    max_length = _settle_length(config, max_positions, decisions)
    token_types = int(getattr(model_config, "type_vocab_size", 0) or 0) > 1
    tokenizer = TextTokenizer(backend, max_length, pad_id, padding_side, token_types, decisions)
    tokenizer.fingerprint = _fingerprint(tokenizer)
    return tokenizer


def load_backend(folder: Path, model_config: Any, key: str) -> Any:
    """Loads the fast tokenizer of a folder: tokenizer.json, or the vocabulary files of an architecture.

    Raises:
        SourceError: no tokenizer files, or files that no fast tokenizer can be made of.
    """
    from transformers import AutoTokenizer
    from transformers.utils import logging

    names = {p.name for p in folder.iterdir()}
    known = {"tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "spm.model", "sentencepiece.bpe.model"}
    if not names & known:
        raise SourceError(Problem(key, f"{folder} holds no tokenizer", f"expected one of {', '.join(sorted(known))}"))
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        backend = AutoTokenizer.from_pretrained(str(folder), config=model_config, use_fast=True, trust_remote_code=False, local_files_only=True)
    except (ValueError, OSError, KeyError, ImportError, AttributeError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SourceError(Problem(key, f"no tokenizer can be made of {folder}: {first}", "save it with tokenizer.save_pretrained")) from error
    finally:
        logging.set_verbosity(level)
    if not backend.is_fast:
        raise SourceError(Problem(key, f"{type(backend).__name__} has no fast version", "save it as tokenizer.json"))
    return backend


def _choose_pad(backend: Any, model_config: Any) -> tuple[str, int, str]:
    """Returns (token, id, reason): declared > the model's > PAD-like > UNK > EOS."""
    vocabulary = backend.get_vocab()
    if backend.pad_token is not None and backend.pad_token in vocabulary:
        return backend.pad_token, vocabulary[backend.pad_token], "the tokenizer's own"
    stated = getattr(model_config, "pad_token_id", None)
    if isinstance(stated, int) and 0 <= stated < len(vocabulary):
        token = backend.convert_ids_to_tokens(stated)
        if token is not None:
            return token, stated, "from the model's config"
    for token in PAD_LIKE:
        if token in vocabulary and token != backend.eos_token:
            return token, vocabulary[token], "the vocabulary holds it, undeclared"
    if backend.unk_token in vocabulary and backend.unk_token != backend.eos_token:
        return backend.unk_token, vocabulary[backend.unk_token], "the tokenizer has no PAD, UNK stands in"
    if backend.eos_token in vocabulary:
        return backend.eos_token, vocabulary[backend.eos_token], "the tokenizer has no PAD, EOS stands in and is masked"
    raise ConfigError(Problem("tokenizer", "has no PAD, UNK or EOS token to pad with", "add a pad_token to its tokenizer_config.json"))


def _check_vocabulary(backend: Any, model_config: Any) -> None:
    size = model_config.get_text_config().vocab_size
    highest = max(backend.get_vocab().values())
    if highest >= size:
        message = f"has ids up to {highest}, the model's embedding has {size} rows"
        raise ConfigError(Problem("tokenizer", message, "use the model's own: tokenizer=auto"))


def _settle_length(config: TokenizerConfig, max_positions: int | None, decisions: list[str]) -> int:
    asked = config.max_length
    if asked is None:
        chosen = min(max_positions or DEFAULT_LENGTH, DEFAULT_LENGTH)
        decisions.append(f"tokenizer.max_length is {chosen}" + (", the model's positions" if chosen == max_positions else ""))
        return chosen
    if asked < SHORTEST:
        raise ConfigError(Problem("tokenizer.max_length", f"got {asked}", f"expected at least {SHORTEST}"))
    if max_positions is not None and asked > max_positions:
        message = f"got {asked}, the model has positions for {max_positions} tokens"
        raise ConfigError(Problem("tokenizer.max_length", message, f"type tokenizer.max_length={max_positions} or less"))
    return asked


def _fingerprint(tokenizer: TextTokenizer) -> str:
    backend = tokenizer.backend
    state = json.loads(backend.backend_tokenizer.to_str())
    state.pop("truncation", None)
    state.pop("padding", None)
    facts = [json.dumps(state, sort_keys=True), str(tokenizer.max_length), str(tokenizer.token_types), str(tokenizer.pad_id)]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()
