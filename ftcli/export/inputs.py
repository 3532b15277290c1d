"""The inputs on which folder and run are compared: rows of the run or, without them, random ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftcli.batching.aligned import aligned
from ftcli.batching.protocols import text_encoder
from ftcli.batching.sampler import evaluation_batches
from ftcli.export.generation_settings import generation_settings, stops_of
from ftcli.export.greedy import MAX_NEW_TOKENS, Prompts

if TYPE_CHECKING:
    import torch

    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.inference.load import LoadedModel

NUM_SEQUENCES = 256
"""Sequences that are taken, or drawn: rows, or the choices or windows of fewer rows."""
NUM_BLOCKS, BATCH = 32, 4
"""Sequences of a language model, whose logits are many, and how many of them are one batch."""
NUM_PROMPTS, PROMPT = 8, 12
"""Beginnings of sequences that are continued, and their tokens."""
EXCERPT = 500
"""Characters of a text that plain libraries tokenize too."""


@dataclass(slots=True)
class Inputs:
    """Batches as the evaluation makes them, and what each of their sequences is."""

    batches: list[dict[str, torch.Tensor]]
    names: list[str]
    """(num_sequences,) such as `validation row 12`, in the order of the batches."""
    origin: str
    texts: list[list[str]]
    """(num_sequences,) the text or two of each, which plain libraries tokenize themselves; an empty list where a
    sequence is built otherwise."""
    ids: list[list[int]]
    """(num_sequences,) token ids in the run; empty where the texts are."""
    probes: list[list[str]]
    """Texts with each special token written out, which plain libraries tokenize too."""
    probe_ids: list[list[int]]
    """Their token ids in the run."""
    prompts: Prompts = field(default_factory=lambda: Prompts([], 0, []))
    """What a language model goes on with; nothing for other tasks."""

    def save(self, file: Path) -> None:
        """Writes the batches as `BATCH/NAME` tensors."""
        from safetensors.torch import save_file

        flat = {f"{i}/{name}": t.contiguous() for i, batch in enumerate(self.batches) for name, t in batch.items()}  # fmt: skip
        save_file(flat, file)


def inputs_of(finished: LoadedModel, missing: str) -> Inputs:
    """Returns rows of the validation part, evenly spaced, of up to 256 sequences, or drawn ones.

    Args:
        finished: the run, loaded.
        missing: why the run's rows are not at hand; empty where they are.
    """
    from ftcli.batching.cache import cached_table

    inputs = finished.inputs
    rows = None if inputs.splits is None else inputs.splits.validation
    if rows is None:
        return _drawn(finished, missing or "their validation part is gone")
    table, _ = cached_table(rows, inputs.tokenizer, inputs.task, inputs.labels)
    most = NUM_BLOCKS if inputs.task.has_vocabulary_head else NUM_SEQUENCES
    count = max(1, most * len(table) // max(1, len(table.offsets) - 1))
    chosen = np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).astype(int))
    origin = f"{len(chosen)} of {len(table):,} validation rows of {Path(rows.origin).name}"
    return _batched(finished, table, chosen, "validation row", origin, aligned(rows, table))


def _batched(
    finished: LoadedModel,
    table: TokenTable,
    chosen: np.ndarray,
    kind: str,
    origin: str,
    source: Rows | None = None,
) -> Inputs:
    """Returns the chosen rows, (num_chosen,) row numbers, in the batches of an evaluation.

    Args:
        finished: the run, loaded.
        table: the rows as tokens.
        chosen: (num_chosen,) row numbers.
        kind: how messages name a row, such as `validation row`.
        origin: of the rows.
        source: the rows as they were read; None where they were drawn as tokens.
    """
    tokenizer = finished.inputs.tokenizer
    batches, names, texts, ids = [], [], [], []
    vocabulary = finished.inputs.task.has_vocabulary_head
    size = min(BATCH, finished.evaluator.batch_size) if vocabulary else finished.evaluator.batch_size
    for places in evaluation_batches(table.lengths[chosen], size):
        rows = chosen[places]
        batches.append(
            finished.inputs.task.model_inputs(
                table, rows, pad_id=tokenizer.pad_id, padding_side=tokenizer.padding_side
            )
        )
        for row in rows:
            spans = _spans(table, int(row))
            count = len(spans)
            names += [f"{kind} {row + 1}" + (f", sequence {i + 1}" if count > 1 else "") for i in range(count)]  # fmt: skip
            own = _plain_texts(finished, source, int(row)) or [[]] * count
            texts += own
            ids += [table.ids[span].tolist() if plain else [] for span, plain in zip(spans, own, strict=True)]
    inputs = Inputs(batches, names, origin, texts, ids, [], [])
    if vocabulary:
        _add_language(inputs, finished, table, chosen, source)
    else:
        inputs.probes, inputs.probe_ids = _probes(finished, max(map(len, texts), default=0))
    return inputs


def _add_language(
    inputs: Inputs, finished: LoadedModel, table: TokenTable, chosen: np.ndarray, source: Rows | None
) -> None:
    """Adds what is compared of a language model besides: prompts to go on with, and texts for the tokenizer.

    Args:
        inputs: completed in place.
        finished: the run, loaded.
        table: the rows as tokens.
        chosen: (num_chosen,) row numbers.
        source: the rows as they were read; None where they were drawn as tokens.
    """
    tokenizer, task = text_encoder(finished.inputs.tokenizer), finished.inputs.task
    length = max(1, min(PROMPT, tokenizer.max_length // 2))
    beginnings = [table.row(int(row))[:length].tolist() for row in chosen[:NUM_PROMPTS]]
    stops = stops_of(generation_settings(finished))
    inputs.prompts = Prompts(beginnings, min(MAX_NEW_TOKENS, tokenizer.max_length - length), stops)
    inputs.probes, inputs.probe_ids = _probes(finished, 1)
    column = None if source is None else source.columns[task.columns.text]
    texts = [] if column is None else [text for row in chosen if (text := column[int(row)][:EXCERPT])]
    inputs.probes += [[text] for text in texts]
    encoded = tokenizer.encode(texts) if texts else None
    inputs.probe_ids += [] if encoded is None else [encoded.row(i).tolist() for i in range(len(texts))]


def _spans(table: TokenTable, row: int) -> list[slice]:
    """Returns where in `table.ids` each sequence of a row stands."""
    first, stop = (row, row + 1) if table.groups is None else map(int, table.groups[row : row + 2])
    return [slice(int(table.offsets[i]), int(table.offsets[i + 1])) for i in range(first, stop)]


def _plain_texts(finished: LoadedModel, rows: Rows | None, row: int) -> list[list[str]]:
    """Returns the texts of each sequence of a row; none where a task builds its own tokens.

    A text without tokens is encoded by a rule that no tokenizer file can state; it is left out.
    """
    found = [] if rows is None else finished.inputs.task.plain_texts(rows, row)
    return [list(texts) if all(texts) else [] for texts in found]


def _probes(finished: LoadedModel, count: int) -> tuple[list[list[str]], list[list[int]]]:
    """Returns texts with each special token written out, `count` texts a row, and their ids; none for count 0."""
    if not count:
        return [], []
    tokenizer = text_encoder(finished.inputs.tokenizer)
    tokens = sorted({t.content for t in tokenizer.backend.added_tokens_decoder.values() if t.special})
    ended = None if tokenizer.single_end is None else tokenizer.backend.convert_ids_to_tokens(tokenizer.single_end)  # fmt: skip
    probes = [f"a {token} b{token}" for token in tokens[:NUM_SEQUENCES] if token != ended]
    if not probes:
        return [], []
    table = tokenizer.encode(probes, probes if count == 2 else None)
    return [[probe] * count for probe in probes], [table.row(i).tolist() for i in range(len(probes))]


def _drawn(finished: LoadedModel, missing: str) -> Inputs:
    """Returns rows that the run's tokenizer, or image processor, draws at random."""
    count = NUM_BLOCKS if finished.inputs.task.has_vocabulary_head else NUM_SEQUENCES
    table = finished.inputs.tokenizer.random_rows(np.random.default_rng(0), count)
    origin = f"{count} rows drawn at random, as those of the run are not at hand ({missing})"
    return _batched(finished, table, np.arange(count), "drawn row", origin)
