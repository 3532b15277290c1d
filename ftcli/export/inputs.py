"""What a folder is tried on: rows of the run, or where they are gone, rows drawn from its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.collate import pad
from ftcli.batching.sampler import evaluation_batches

if TYPE_CHECKING:
    import torch

    from ftcli.batching.token_table import TokenTable
    from ftcli.inference.load import LoadedModel

NUM_ROWS = 256
DRAWN_BATCH = 32
"""Rows a batch of images or texts that are drawn."""


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
    import torch

    evaluator = finished.evaluator
    batches, names = [], []
    for places in evaluation_batches(table.lengths[chosen], evaluator.batch_size):
        rows = chosen[places]
        if hasattr(table, "values"):  # images
            batches.append({"pixel_values": torch.from_numpy(table.values(rows))})
            names += [f"{kind} {row + 1}" for row in rows]
            continue
        arrays = pad(
            table, table.sequences(rows), pad_id=evaluator.pad_id, padding_side=evaluator.padding_side
        ).arrays
        batches.append({name: torch.from_numpy(array) for name, array in arrays.items()})
        for row in rows:
            count = 1 if table.groups is None else int(table.groups[row + 1] - table.groups[row])
            names += [f"{kind} {row + 1}" + (f", sequence {i + 1}" if count > 1 else "") for i in range(count)]  # fmt: skip
    return Inputs(batches, names, origin, texts, ids)


def _plain_texts(
    finished: LoadedModel, rows: Any, table: TokenTable, chosen: np.ndarray
) -> tuple[list[list[str]], list[list[int]]]:
    """Returns rows that are read as texts as they stand, with their ids; none where a task builds its own.

    A text without tokens, and a special token written out where the tokenizer cannot be kept from reading it,
    go by a rule that no tokenizer file can state; such rows are left out.
    """
    inputs = finished.inputs
    if inputs.task.takes != "texts" or table.groups is not None or "words" in table.extras:
        return [], []
    first, second = inputs.task.texts(rows)
    added = inputs.tokenizer.backend.added_tokens_decoder
    special = [added[i].content for i in inputs.tokenizer.written_out]
    texts, ids = [], []
    for row in chosen:
        own = [first[row]] if second is None else [first[row], second[row]]
        if all(own) and not any(token in text for token in special for text in own):
            texts.append(own)
            ids.append(table.row(int(row)).tolist())
    return texts, ids


def _drawn(finished: LoadedModel, missing: str) -> Inputs:
    """Draws noise for images, and texts of 1 token to the longest row from the whole vocabulary."""
    import torch

    tokenizer = finished.inputs.tokenizer
    draw = np.random.default_rng(0)
    origin = f"{NUM_ROWS} rows drawn at random, as those of the run are not at hand ({missing})"
    if finished.inputs.task.takes == "images":
        shape = (NUM_ROWS, tokenizer.channels, *tokenizer.size)
        noise = torch.from_numpy(draw.standard_normal(shape, dtype=np.float32))
        batches = [{"pixel_values": piece.clone()} for piece in noise.split(DRAWN_BATCH)]
        return Inputs(batches, [f"drawn image {i + 1}" for i in range(NUM_ROWS)], origin, [], [])
    special = set(tokenizer.backend.all_special_ids)
    usable = np.array([i for i in sorted(tokenizer.backend.get_vocab().values()) if i not in special])
    lengths = draw.integers(1, tokenizer.max_length + 1, NUM_ROWS)
    texts = [tokenizer.backend.decode(draw.choice(usable, n).tolist()) for n in lengths]
    table = tokenizer.encode(texts)
    return _batched(finished, table, np.arange(NUM_ROWS), "drawn row", origin, [], [])
