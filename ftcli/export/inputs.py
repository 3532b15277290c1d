"""The inputs on which folder and run are compared: rows of the run or, without them, random ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.protocols import text_encoder
from ftcli.batching.sampler import evaluation_batches

if TYPE_CHECKING:
    import torch

    from ftcli.batching.token_table import TokenTable
    from ftcli.inference.load import LoadedModel

NUM_ROWS = 256
"""Rows that are taken, or drawn."""


@dataclass(slots=True)
class Inputs:
    """Batches as the evaluation makes them, and what each of their sequences is."""

    batches: list[dict[str, torch.Tensor]]
    names: list[str]
    """(num_sequences,) such as `validation row 12`, in the order of the batches."""
    origin: str
    texts: list[list[str]]
    """Rows of one text or two that the folder's tokenizer is tried on; empty where rows are built otherwise."""
    ids: list[list[int]]
    """Their token ids in the run."""

    def save(self, file: Path) -> None:
        """Writes the batches as `BATCH/NAME` tensors."""
        from safetensors.torch import save_file

        flat = {f"{i}/{name}": t.contiguous() for i, batch in enumerate(self.batches) for name, t in batch.items()}  # fmt: skip
        save_file(flat, file)


def inputs_of(finished: LoadedModel, missing: str = "") -> Inputs:
    """Returns up to 256 rows of the validation part, evenly spaced, or drawn ones.

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
    chosen = np.unique(np.linspace(0, len(table) - 1, min(NUM_ROWS, len(table))).astype(int))
    texts, ids = _plain_texts(finished, rows, table, chosen)
    origin = f"{len(chosen)} of {len(table):,} validation rows of {Path(rows.origin).name}"
    return _batched(finished, table, chosen, "validation row", origin, texts, ids)


def _batched(
    finished: LoadedModel,
    table: TokenTable,
    chosen: np.ndarray,
    kind: str,
    origin: str,
    texts: list[list[str]],
    ids: list[list[int]],
) -> Inputs:
    """Returns the chosen rows, (num_chosen,) row numbers, in the batches of an evaluation."""
    tokenizer = finished.inputs.tokenizer
    batches, names = [], []
    for places in evaluation_batches(table.lengths[chosen], finished.evaluator.batch_size):
        rows = chosen[places]
        batches.append(
            finished.inputs.task.model_inputs(
                table, rows, pad_id=tokenizer.pad_id, padding_side=tokenizer.padding_side
            )
        )
        for row in rows:
            count = 1 if table.groups is None else int(table.groups[row + 1] - table.groups[row])
            names += [f"{kind} {row + 1}" + (f", sequence {i + 1}" if count > 1 else "") for i in range(count)]  # fmt: skip
    return Inputs(batches, names, origin, texts, ids)


def _plain_texts(
    finished: LoadedModel, rows: Any, table: TokenTable, chosen: np.ndarray
) -> tuple[list[list[str]], list[list[int]]]:
    """Returns rows that are read as texts as they stand, with their ids; none where a task builds its own.

    A text without tokens, and a special token written out where the tokenizer cannot be kept from reading it,
    are encoded by a rule that no tokenizer file can state; such rows are left out.
    """
    inputs = finished.inputs
    if not inputs.task.plain_texts:
        return [], []
    first, second = inputs.task.texts(rows)
    tokenizer = text_encoder(inputs.tokenizer)
    added = tokenizer.backend.added_tokens_decoder
    special = [added[i].content for i in tokenizer.written_out]
    texts, ids = [], []
    for row in chosen:
        own = [first[row]] if second is None else [first[row], second[row]]
        if all(own) and not any(token in text for token in special for text in own):
            texts.append(own)
            ids.append(table.row(int(row)).tolist())
    return texts, ids


def _drawn(finished: LoadedModel, missing: str) -> Inputs:
    """Returns rows that the run's tokenizer, or image processor, draws at random."""
    table = finished.inputs.tokenizer.random_rows(np.random.default_rng(0), NUM_ROWS)
    origin = f"{NUM_ROWS} rows drawn at random, as those of the run are not at hand ({missing})"
    return _batched(finished, table, np.arange(NUM_ROWS), "drawn row", origin, [], [])
