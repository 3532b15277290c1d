"""Which rows are in which batch: pure functions of seed, epoch, batch size, lengths and rank.

Nothing here holds state, so a resume needs only counters. Workers, prefetching and micro-batches
never change which rows a batch holds.
"""

from __future__ import annotations

import numpy as np

MEGA_BATCH = 50
"""Batches whose rows are sorted by length together: enough to save nearly all padding, few enough to
leave the order random. The figure of Hugging Face's LengthGroupedSampler."""


def epoch_batches(lengths: np.ndarray, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Returns the batches of an epoch, each row in exactly one of them.

    The rows are permuted, cut into mega-batches, each sorted by length (longest first, ties in
    permuted order) and cut into batches; the full batches are then shuffled. The ragged batch of
    `num_rows % batch_size` rows, if any, is the last one.

    Args:
        lengths: (num_rows,) tokens a row.
        batch_size: rows of a batch.
        seed: of the run, at least 0.
        epoch: counted from 0.

    Returns:
        ceil(num_rows / batch_size) arrays of row numbers, int64, longest row first.
    """
    random = epoch_random(seed, epoch)
    permuted = random.permutation(len(lengths))
    mega = np.arange(len(lengths)) // (MEGA_BATCH * batch_size)
    rows = permuted[np.lexsort((-lengths[permuted], mega))]
    num_full = len(rows) // batch_size
    full = rows[: num_full * batch_size].reshape(num_full, batch_size)
    batches = list(full[random.permutation(num_full)])
    return [*batches, rows[num_full * batch_size :]] if len(rows) % batch_size else batches


def epoch_random(seed: int, epoch: int) -> np.random.Generator:
    """Returns the generator that an epoch's order is drawn from.

    The epoch is the spawn key of the seed's SeedSequence, so each epoch has a stream of its own: its order does not
    depend on how many numbers were drawn before, and a resume needs no saved generator state.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(epoch,))))


def evaluation_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Returns all rows, longest first, so that a lack of memory shows in the first batch.

    Args:
        lengths: (num_rows,) tokens a row.
        batch_size: rows of a batch.

    Returns:
        Row numbers, (batch_size,) int64 each, the last array shorter.
    """
    rows = np.argsort(-lengths, kind="stable")
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def rank_rows(batch: np.ndarray, rank: int, world_size: int) -> np.ndarray:
    """Returns one process's rows of a batch; over all ranks they are the batch, without overlap.

    The batch, longest row first, is dealt back and forth (0 1 2 2 1 0 0 1 ...), so that ranks differ
    by at most one row and hold about the same number of tokens. A batch of fewer rows than ranks
    leaves some ranks with none.

    Args:
        batch: (batch_size,) row numbers, longest row first.
        rank: of the process, from 0.
        world_size: number of processes.

    Returns:
        (num_own,) row numbers.
    """
    place = np.arange(len(batch))
    turn, seat = place // world_size, place % world_size
    return batch[np.where(turn % 2 == 0, seat, world_size - 1 - seat) == rank]


def micro_batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Splits the rows of a batch, (batch_size,), into consecutive pieces, (size,) each, the last one shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
