"""The next token of plain text: continued pretraining of a decoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ftcli.batching.aligned import SOURCE
from ftcli.batching.head import Head, is_causal
from ftcli.batching.protocols import TextEncoder, Tokenizer, text_encoder
from ftcli.batching.rows import Field, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.errors import ConfigError, Problem
from ftcli.task._blocks import Document, cut
from ftcli.task._language import NUM_BYTES, Language
from ftcli.task.base import unused_fields

AUTO, BOS, EOS, NONE = "auto", "bos", "eos", "none"


@dataclass(kw_only=True, slots=True)
class CausalLmConfig(TaskConfig):
    document_start: str = AUTO
    """What stands before a document, so that its first token is learned too: `bos`, `eos`, `none`, or a token of the vocabulary. `auto`: what
    the tokenizer itself writes before a text; where it writes nothing, EOS, as GPT-2 read its documents."""
    document_end: str = EOS
    """What is learned as the end of a document: `eos`, `none`, or a token of the vocabulary."""
    metrics: list[str] = field(default_factory=lambda: ["perplexity", "bits-a-byte", "token-accuracy"])
    """Names of files in ftcli/metric."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before rows are read."""
        found = unused_fields(self, 0, "the outputs are the tokens of the vocabulary")
        if self.document_end in (AUTO, BOS):
            hint = "type task.document_end=eos, or the token itself"
            found.append(Problem("task.document_end", f"{self.document_end} ends no document", hint))
        return found


@register("task", CausalLmConfig)
class CausalLm(Language):
    """Every token is predicted from those before it (Radford et al., 2018, Improving language understanding by generative pre-training).

    Documents are kept apart: a long one is read in blocks, none of which holds tokens of another.
    """

    heads = (Head("AutoModelForCausalLM", per_token=True, vocabulary=True, peft_task_type="CAUSAL_LM"),)
    sequence_name = "block"
    cuts_rows = True

    config: CausalLmConfig

    def fields(self) -> tuple[Field, ...]:
        """Returns the column of the text; there is no column of labels."""
        return (Field("text", self.columns.text),)

    def check_model(self, hf_config: Any, tokenizer: Tokenizer | None) -> list[str]:
        """Checks that the architecture continues texts; returns a line on what begins and ends a document.

        Raises:
            ConfigError: an encoder or encoder-decoder, or a token that the vocabulary does not have.
        """
        kind = hf_config.model_type
        if not is_causal(hf_config) or hf_config.is_encoder_decoder:
            message = f"{kind} reads both sides of a token, as masked-lm models do, so that it cannot continue a text"
            if hf_config.is_encoder_decoder:
                message = f"{kind} reads one text and writes another, so that it does not continue a text"
            raise ConfigError(Problem("task", message, "choose a decoder, such as model=gpt2"))
        if tokenizer is None:
            return []
        encoder = text_encoder(tokenizer)
        start, end = self._around(encoder)
        names = [" ".join(encoder.backend.convert_ids_to_tokens(ids)) for ids in (start, end)]
        before = f"a document begins with {names[0]}, which is given" if start else "nothing stands before a document: its first token is not learned"  # fmt: skip
        behind = f"its end is learned as {names[1]}" if end else "its end is not learned"
        length = f"long documents are read in blocks of {tokenizer.max_length} tokens (tokenizer.max_length)"
        lines = [f"{before}; {behind} (task.document_start, task.document_end)", length]
        if tokenizer.pad_id in end:
            lines.append(f"PAD is {names[1]} too: what is learned is told apart by place, never by id")
        return lines

    def encode(self, rows: Rows, tokenizer: Tokenizer, *, labelled: bool = True) -> TokenTable:
        """Returns documents in blocks of at most `max_length` tokens, targets marked, of rows to predict too; rows without text give none.

        Extras: `source` (num_blocks,) int64, the document of each block; `num_bytes` (num_blocks,) int64, bytes of text that its targets
        stand for.
        """
        encoder = text_encoder(tokenizer)
        start, end = (np.array(ids, dtype=np.int32) for ids in self._around(encoder))
        texts = rows.columns[self.columns.text]
        found = encoder.encode_whole(texts)
        # A text may have characters and no token, where a tokenizer drops them.
        kept = [row for row, (ids, _) in enumerate(found) if len(ids) and texts[row].strip()]
        documents = []
        for ids, ends in map(found.__getitem__, kept):
            reached = np.concatenate(
                [np.zeros(len(start), dtype=np.int64), ends, np.repeat(ends[-1:], len(end))]
            )
            documents.append(Document(np.concatenate([start, ids, end]), reached))
        blocks = cut(documents, encoder.max_length)
        extras = {SOURCE: np.array(kept, dtype=np.int64)[blocks.source], NUM_BYTES: blocks.num_bytes}
        return TokenTable(blocks.ids, blocks.offsets, labels=blocks.labels, extras=extras)

    def _around(self, encoder: TextEncoder) -> tuple[list[int], list[int]]:
        """Returns the ids before a document and those behind it.

        Raises:
            ConfigError: a token that the vocabulary does not have.
        """
        start = self.config.document_start
        if start == AUTO:
            before = encoder.written_start or _of_role(encoder, EOS) or _of_role(encoder, BOS)
        else:
            before = _named(encoder, start, "task.document_start")
        return before, _named(encoder, self.config.document_end, "task.document_end")


def _of_role(encoder: TextEncoder, role: str) -> list[int]:
    token_id = getattr(encoder.backend, f"{role}_token_id")
    return [] if token_id is None or token_id >= encoder.vocab_size else [int(token_id)]


def _named(encoder: TextEncoder, name: str, key: str) -> list[int]:
    """Returns the id of `bos`, `eos` or a token; none for `none`.

    Raises:
        ConfigError: the tokenizer has no such token.
    """
    if name == NONE:
        return []
    if name in (BOS, EOS):
        if found := _of_role(encoder, name):
            return found
        message = f"the tokenizer has no {name.upper()}"
    else:
        token_id = encoder.backend.get_vocab().get(name)
        if token_id is not None and token_id < encoder.vocab_size:
            return [int(token_id)]
        message = f"{name!r} is no token of the vocabulary"
    raise ConfigError(Problem(key, message, f"type {key}=none"))
