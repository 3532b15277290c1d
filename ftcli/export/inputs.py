"""The inputs on which folder and run are compared: rows of the run or, without them, random ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftcli.batching.protocols import text_encoder
from ftcli.batching.sampler import evaluation_batches

if TYPE_CHECKING:
    import torch

    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.inference.load import LoadedModel

NUM_SEQUENCES = 256
"""Sequences that are taken, or drawn: rows, or the choices or windows of fewer rows."""


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
    if inputs.splits is None:
        return _drawn(finished, missing)
    rows = inputs.splits.validation
    assert rows is not None, "a run has validation rows"
    table, _ = cached_table(rows, inputs.tokenizer, inputs.task, inputs.labels)
    count = max(1, NUM_SEQUENCES * len(table) // max(1, len(table.offsets) - 1))
    chosen = np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).astype(int))
    origin = f"{len(chosen)} of {len(table):,} validation rows of {Path(rows.origin).name}"
    return _batched(finished, table, chosen, "validation row", origin, rows)


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
    for places in evaluation_batches(table.lengths[chosen], finished.evaluator.batch_size):
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
    return Inputs(batches, names, origin, texts, ids, *_probes(finished, max(map(len, texts), default=0)))


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
    table = finished.inputs.tokenizer.random_rows(np.random.default_rng(0), NUM_SEQUENCES)
    origin = f"{NUM_SEQUENCES} rows drawn at random, as those of the run are not at hand ({missing})"
    return _batched(finished, table, np.arange(NUM_SEQUENCES), "drawn row", origin)
