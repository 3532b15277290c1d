"""Rows, batches and scores for peers that bring none: of lightning_fts.py and plain_loop.py."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

Row = tuple[list[int], int]
"""Token ids and label."""

BATCH = 32


def read(path: str, tokenizer: Any) -> list[Row]:
    """Returns the rows of a tab-separated file with a header line, at most 64 tokens each."""
    lines = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").split("\n")[1:] if line]
    return [(tokenizer(text, truncation=True, max_length=64)["input_ids"], int(label)) for text, label in lines]  # fmt: skip


def collate(batch: list[Row]) -> dict[str, torch.Tensor]:
    """Pads to the longest row; MiniLM's PAD is 0."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in batch])
    labels = torch.tensor([label for _, label in batch])
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": labels}


class Grouped(torch.utils.data.Sampler[list[int]]):
    """Batches of rows of like length, as the Trainer's group_by_length makes them: sorted within 50 batches.

    Args:
        rows: all rows.
        shuffle: whether rows and batches come in another order each epoch.
    """

    def __init__(self, rows: list[Row], shuffle: bool) -> None:
        self.rows, self.shuffle, self.epoch = rows, shuffle, 0

    def __len__(self) -> int:
        return -(-len(self.rows) // BATCH)

    def __iter__(self) -> Iterator[list[int]]:
        order, draw = list(range(len(self.rows))), random.Random(self.epoch)
        self.epoch += 1
        if self.shuffle:
            draw.shuffle(order)
        chunks = [order[start : start + 50 * BATCH] for start in range(0, len(order), 50 * BATCH)]
        chunks = [sorted(chunk, key=lambda row: len(self.rows[row][0])) for chunk in chunks]
        batches = [chunk[start : start + BATCH] for chunk in chunks for start in range(0, len(chunk), BATCH)]
        if self.shuffle:
            draw.shuffle(batches)
        return iter(batches)


def loader(rows: list[Row], *, grouped: bool, shuffle: bool) -> torch.utils.data.DataLoader[Any]:
    """Returns batches of 32, grouped by length or in plain order."""
    if grouped:
        return torch.utils.data.DataLoader(rows, batch_sampler=Grouped(rows, shuffle), collate_fn=collate)  # type: ignore[arg-type]
    return torch.utils.data.DataLoader(rows, batch_size=BATCH, shuffle=shuffle, collate_fn=collate)  # type: ignore[arg-type]


def decayed(optimizer: torch.optim.Optimizer) -> int:
    """Returns the number of weights that get weight decay."""
    groups = (group for group in optimizer.param_groups if group["weight_decay"])
    return sum(weight.numel() for group in groups for weight in group["params"])
