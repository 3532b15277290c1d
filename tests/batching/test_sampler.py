"""Every row exactly once an epoch, whatever the sizes; the same order for the same numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftcli.batching.sampler import epoch_batches, evaluation_batches, micro_batches, rank_rows

lengths_of_rows = st.lists(st.integers(0, 40), max_size=300).map(lambda x: np.array(x, dtype=np.int64))
batch_sizes = st.integers(1, 40)
seeds = st.integers(0, 2**40)


def all_rows(batches):
    return sorted(row for batch in batches for row in batch.tolist())


@given(lengths_of_rows, batch_sizes, seeds, st.integers(0, 5))
def test_every_row_stands_in_exactly_one_batch(lengths, batch_size, seed, epoch):
    batches = epoch_batches(lengths, batch_size=batch_size, seed=seed, epoch=epoch)
    assert all_rows(batches) == list(range(len(lengths)))
    full, ragged = divmod(len(lengths), batch_size)
    assert [len(batch) for batch in batches] == [batch_size] * full + [ragged] * (ragged > 0)


@given(lengths_of_rows, batch_sizes, seeds, st.integers(1, 4))
def test_ranks_and_micro_batches_cover_each_batch_without_overlap(lengths, batch_size, seed, world_size):
    for batch in epoch_batches(lengths, batch_size=batch_size, seed=seed, epoch=0):
        shares = [rank_rows(batch, rank, world_size) for rank in range(world_size)]
        assert all_rows(shares) == sorted(batch.tolist())
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        for share in shares:
            assert [row for piece in micro_batches(share, 3) for row in piece.tolist()] == share.tolist()


@given(lengths_of_rows, batch_sizes)
def test_evaluation_takes_each_row_once_longest_first(lengths, batch_size):
    batches = evaluation_batches(lengths, batch_size)
    assert all_rows(batches) == list(range(len(lengths)))
    order = [lengths[row] for batch in batches for row in batch]
    assert order == sorted(order, reverse=True)


def test_order_depends_on_seed_and_epoch_and_on_nothing_else():
    lengths = np.random.default_rng(0).integers(3, 60, 1000)

    def order(seed, epoch):
        return np.concatenate(epoch_batches(lengths, batch_size=16, seed=seed, epoch=epoch)).tolist()

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)}) == 9


def test_the_order_of_a_version_of_numpy_is_pinned():
    # A changed order would make every resume across versions of ftcli silently different.
    batches = epoch_batches(np.array([3, 9, 4, 7, 5, 8, 6]), batch_size=2, seed=42, epoch=1)
    assert [batch.tolist() for batch in batches] == [[1, 5], [4, 2], [3, 6], [0]]


def test_rows_of_a_batch_are_of_about_one_length_and_batches_are_shuffled():
    lengths = np.random.default_rng(0).integers(1, 200, 4000)
    batches = epoch_batches(lengths, batch_size=20, seed=0, epoch=0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded / lengths.sum() < 1.05
    longest = [lengths[batch].max() for batch in batches]
    assert longest != sorted(longest, reverse=True)
    # No trend over the epoch: without the shuffle of batches each mega-batch would fall from 200 to 1.
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.2
    assert all((np.diff(lengths[batch]) <= 0).all() for batch in batches)


def test_ranks_hold_about_the_same_number_of_tokens():
    lengths = np.sort(np.random.default_rng(1).integers(1, 100, 64))[::-1]
    tokens = [lengths[rank_rows(np.arange(64), rank, 4)].sum() for rank in range(4)]
    assert max(tokens) / min(tokens) < 1.05  # dealt in turn it would be 1.10


def test_rows_are_dealt_back_and_forth():
    batch = np.array([10, 11, 12, 13, 14, 15, 16])
    assert [rank_rows(batch, rank, 3).tolist() for rank in range(3)] == [[10, 15, 16], [11, 14], [12, 13]]


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_fewer_rows_than_ranks(rank):
    assert rank_rows(np.array([5, 6]), rank, 4).tolist() == ([5], [6], [], [])[rank]


def test_no_rows():
    assert epoch_batches(np.zeros(0, dtype=np.int64), batch_size=4, seed=0, epoch=0) == []
    assert evaluation_batches(np.zeros(0, dtype=np.int64), 4) == []
    assert micro_batches(np.zeros(0, dtype=np.int64), 4) == []
