"""The tokenizer of a run, every setting decided: texts -> flat rows of ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.token_table import TokenTable
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.hub.resolve import quiet_transformers
from ftcli.tokenizer.documents import CHUNK, byte_ends, written_before
from ftcli.tokenizer.windows import encode_windows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

POLICY_VERSION = 1
"""Part of the fingerprint; raised when the same settings begin to give other ids."""

_CHUNK = 4096  # rows encoded at a time; bounds the memory of the Rust encodings


@dataclass(frozen=True, slots=True)
class TextTokenizer:
    """A fast tokenizer with every setting decided (`ftcli.tokenizer.policy`)."""

    backend: PreTrainedTokenizerBase
    """The Hugging Face tokenizer, for saving and for showing tokens."""
    max_length: int
    """Most tokens of a row, special ones included."""
    pad_id: int
    """Token id that fills rows up, below `vocab_size`."""
    padding_side: str
    """`right` or `left`."""
    vocab_size: int
    """Rows of the model's embedding; every id is below it."""
    token_types: bool
    """Whether the model reads which text of a pair a token is of."""
    empty_id: int | None
    """Only token of a text that would have none; None where special tokens stand in every row."""
    unk_id: int | None
    """Id of the unknown token, None where there is none."""
    single_end: int | None
    """Id of the end token that an encoder-decoder counts, so that no text may hold one; None for others."""
    decisions: list[str] = field(default_factory=list)
    """What was decided for the user, a line each."""
    fingerprint: str = field(init=False)
    """Hex sha256 of what decides the ids."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", self._fingerprint())

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the model's inputs that the rows give."""
        return ("input_ids", "attention_mask", *(("token_type_ids",) if self.token_types else ()))

    def encode(self, texts: list[str], pairs: list[str] | None = None) -> TokenTable:
        """Tokenizes texts, or pairs of texts; cuts the longer of the two first, never a special token.

        Args:
            texts: one a row.
            pairs: second texts, one a row; None where a row is one text.

        Returns:
            A row for each text. Extra `cut` (num_rows,) int32: how many tokens the row lost.

        Raises:
            ConfigError: `max_length` leaves no room beside the special tokens.
            DataError: a text is not valid Unicode.
        """
        rust = self.prepared()
        rows: list[Any] = texts if pairs is None else list(zip(texts, pairs, strict=True))
        self.require_room(rust.num_special_tokens_to_add(pairs is not None), 1 if pairs is None else 2)
        ids: list[np.ndarray] = []
        types: list[np.ndarray] = []
        lost: list[np.ndarray] = []
        for chunk in _chunks(rows):
            encodings, cut = self._encode_chunk(rust, chunk)
            self.require_template_ends(encodings, chunk)
            lost.append(cut)
            for encoding in encodings:
                ids.append(self.row_ids(encoding))
                types.append(np.array(encoding.type_ids or [0], dtype=np.uint8))
        flat = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
        self.require_known_ids(flat)
        cut = np.concatenate(lost) if lost else np.zeros(0, dtype=np.int32)
        return TokenTable(
            ids=flat,
            offsets=np.cumsum([0, *map(len, ids)], dtype=np.int64),
            token_types=np.concatenate(types) if self.token_types and types else None,
            labels=None,
            extras={"cut": cut},
            num_truncated=int((cut > 0).sum()),
            num_tokens_cut=int(cut.sum()),
        )

    def encode_whole(self, texts: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Tokenizes texts of any length; nothing is cut off, and no special token is added.

        Returns:
            Of each text its ids, (length,) int32, and the bytes of it up to the end of each token, (length,) int64.

        Raises:
            DataError: a text is not valid Unicode.
        """
        rust, found = self.prepared(), []
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            for text, encoding in zip(chunk, _encode_batch(rust, chunk, whole=True), strict=True):
                ids = np.array(encoding.ids, dtype=np.int32)
                self.require_known_ids(ids)
                ends = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)[:, 1]
                found.append((ids, byte_ends(text, ends)))
        return found

    @property
    def written_start(self) -> list[int]:
        """Ids of the special tokens that the tokenizer itself writes before a text."""
        return written_before(self.prepared())

    def encode_words(self, rows: list[list[str]]) -> TokenTable:
        """Tokenizes rows of words, each row as one text with a space between words.

        So every tokenizer sees what it saw in pretraining.

        Returns:
            A row for each list of words. Extra `words` (num_tokens,) int64: the number of the word that a token
            is the first of, -1 for all other tokens.

        Raises:
            ConfigError, DataError: as `encode`.
        """
        table = self.encode([" ".join(words) for words in rows])
        first = np.full(len(table.ids), -1, dtype=np.int64)
        start = 0
        for chunk in _chunks(rows):
            for row, offsets in enumerate(self._offsets([" ".join(words) for words in chunk]), start):
                length = min(len(offsets), int(table.lengths[row]))
                place = int(table.offsets[row])
                first[place : place + length] = _first_of_words(rows[row], offsets)[:length]
            start += len(chunk)
        table.extras["words"] = first
        return table

    def encode_windows(
        self,
        questions: list[str],
        contexts: list[str],
        *,
        step: int,
        spans: np.ndarray | None,
        where: Callable[[int], str],
    ) -> TokenTable:
        """Tokenizes questions with windows of their contexts, as `ftcli.tokenizer.windows` describes.

        Args:
            questions: one a row.
            contexts: one a row.
            step: tokens from the beginning of a window to that of the next one.
            spans: (num_rows, 2) characters of the context that are looked for; None: nothing is.
            where: row number -> how messages name the row.
        """
        return encode_windows(self, questions, contexts, step=step, spans=spans, where=where)

    def save(self, folder: Path, model_folder: Path) -> None:
        """Writes the tokenizer's files with length, PAD and padding side as in training.

        Args:
            folder: where the files go; it exists.
            model_folder: the base model's; it has no say, as the tokenizer may be another.
        """
        self.prepared()
        kept = self.backend.init_kwargs
        # What was set after loading is written only from here.
        kept["padding_side"] = self.padding_side
        for key in ("is_local", "local_files_only"):
            kept.pop(key, None)
        with quiet_transformers():
            self.backend.save_pretrained(folder)

    def limits(self) -> list[str]:
        """Returns sentences for a model card: what the texts may be, and where a plain tokenizer differs."""
        lines = [
            f"Texts of at most {self.max_length} tokens, special ones included; longer ones are cut.",
            f"PAD is id {self.pad_id}, on the {self.padding_side}.",
        ]
        if not self.backend.split_special_tokens:
            lines.append("A special token written out in a text is read as that token.")
        return lines

    def random_rows(self, draw: np.random.Generator, num_rows: int) -> TokenTable:
        """Returns unlabelled rows of 1 token to `max_length` tokens, drawn from the vocabulary without special tokens."""
        special = set(self.backend.all_special_ids)
        usable = np.array([i for i in sorted(self.backend.get_vocab().values()) if i not in special])
        lengths = draw.integers(1, self.max_length + 1, num_rows)
        return self.encode([str(self.backend.decode(draw.choice(usable, n).tolist())) for n in lengths])

    def _offsets(self, texts: list[str]) -> list[np.ndarray]:
        """Returns first character and the one after the last of each token, (length, 2) int64 a text; (0, 0) for special tokens."""
        rust = self.prepared()
        rust.enable_truncation(self.max_length)
        try:
            encodings = rust.encode_batch(texts)
        finally:
            rust.no_truncation()
        found = []
        for encoding in encodings:
            offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            offsets[np.array(encoding.special_tokens_mask, dtype=bool)] = 0
            found.append(offsets)
        return found

    def prepared(self) -> Any:
        """Returns the Rust tokenizer (tokenizers.Tokenizer) without truncation or padding, whoever used it before."""
        rust = self.backend.backend_tokenizer
        rust.no_truncation()
        rust.no_padding()
        rust.encode_special_tokens = bool(self.backend.split_special_tokens)
        return rust

    def _encode_chunk(self, rust: Any, rows: list[Any]) -> tuple[list[Any], np.ndarray]:
        """Returns the encodings, and how many tokens each row lost, (num_rows,) int32."""
        encodings = _encode_batch(rust, rows)
        long = [i for i, encoding in enumerate(encodings) if len(encoding) > self.max_length]
        if not long:
            return encodings, np.zeros(len(rows), dtype=np.int32)
        rust.enable_truncation(self.max_length, strategy="longest_first")
        shortened = _encode_batch(rust, [rows[i] for i in long])
        rust.no_truncation()
        cut = np.zeros(len(rows), dtype=np.int32)
        for i, short in zip(long, shortened, strict=True):
            cut[i] = len(encodings[i]) - len(short)
            encodings[i] = short
        return encodings, cut

    def row_ids(self, encoding: Any) -> np.ndarray:
        """Returns the ids of an encoding (tokenizers.Encoding), (length,) int32, never empty."""
        if not len(encoding):
            return np.array([self.empty_id], dtype=np.int32)
        return np.array(encoding.ids, dtype=np.int32)

    def require_template_ends(self, encodings: list[Any], rows: list[Any]) -> None:
        """Checks that no text holds the end token where the model counts it (BART, T5).

        Args:
            encodings: of the rows, tokenizers.Encoding.
            rows: a text each, or a pair.

        Raises:
            DataError: names the first text that does.
        """
        if self.single_end is None:
            return
        for encoding, row in zip(encodings, rows, strict=True):
            pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
            if any(i == self.single_end and not mask for i, mask in pairs):
                token = self.backend.convert_ids_to_tokens(self.single_end)
                message = f"a text holds {token}, the end token that this model's head looks for: {row!r:.80}"
                raise DataError(Problem("data", message, f"remove {token} from the texts"))

    def require_room(self, num_special: int, num_texts: int) -> None:
        """Checks that a row holds a token of each text beside its special tokens.

        Raises:
            ConfigError: `max_length` is shorter than that.
        """
        if self.max_length < num_special + num_texts:
            message = f"is {self.max_length}, and {num_special} special tokens stand in every row"
            hint = f"set tokenizer.max_length={num_special + num_texts} or more"
            raise ConfigError(Problem("tokenizer.max_length", message, hint))

    def require_known_ids(self, ids: np.ndarray) -> None:
        """Checks that ids, (num_tokens,) int32, are rows of the model's embedding.

        Raises:
            ConfigError: one of them is not.
        """
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
            "written_out": [],  # of version 0.1, whose runs are resumed
        }
        text = json.dumps(settings, sort_keys=True) + self.prepared().to_str()
        return hashlib.sha256(text.encode()).hexdigest()


def _first_of_words(words: list[str], offsets: np.ndarray) -> np.ndarray:
    """Returns (length,) int64: the word that a token is the first of, or -1.

    A token belongs to the word of its last character, as many tokenizers count the space before it in.
    """
    ends = np.cumsum([len(word) + 1 for word in words]) if words else np.zeros(0, dtype=np.int64)
    word = np.searchsorted(ends, np.maximum(offsets[:, 1] - 1, 0), side="right")
    word[offsets[:, 0] == offsets[:, 1]] = -1
    fresh = np.ones(len(word), dtype=bool)
    known = np.flatnonzero(word >= 0)
    fresh[known[1:]] = word[known[1:]] != word[known[:-1]]
    return np.where(fresh, word, -1)


def _chunks(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def _encode_batch(rust: Any, rows: list[Any], *, whole: bool = False) -> Any:
    """Returns a list of encodings; `whole`: with the places of tokens in the text, and without special tokens."""
    try:
        if whole:
            return rust.encode_batch(rows, add_special_tokens=False)
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
