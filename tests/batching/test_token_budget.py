"""Token budgets: never exceeded, every row once, the same number of batches in every epoch."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftcli.batching.epochs import plan_epochs, rows_of_length
from ftcli.batching.token_budget import row_shapes, token_epochs
from ftcli.batching.token_table import TokenTable
from ftcli.config.schema import TrainerConfig
from ftcli.errors import ConfigError

rows_of_sequences = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), min_size=1, max_size=400)


def table_of(rows: list[list[int]]) -> TokenTable:
    """Returns a table in which row i has sequences of these lengths."""
    lengths = [length for row in rows for length in row]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    groups = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    lone = all(len(row) == 1 for row in rows)
    return TokenTable(np.zeros(offsets[-1], dtype=np.int32), offsets, groups=None if lone else groups)


def padded(rows: list[list[int]], batch: np.ndarray) -> int:
    """Returns what collating costs: all sequences as wide as the longest, an empty one as wide as one token."""
    sequences = [length for row in batch.tolist() for length in rows[row]]
    return len(sequences) * max(1, *sequences)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows_of_sequences, st.integers(120, 700), st.integers(0, 2**32), st.integers(0, 5))
def test_no_batch_exceeds_the_budget_and_every_epoch_has_as_many(rows, budget, seed, epoch):
    epochs = token_epochs(table_of(rows), budget)
    batches = epochs.batches(seed, epoch)
    assert len(batches) == epochs.steps_per_epoch and all(len(batch) for batch in batches)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(rows)))
    assert max(padded(rows, batch) for batch in batches) <= budget
    for batch in batches:
        widths = [max(1, *rows[row]) for row in batch.tolist()]
        assert widths[0] == max(widths)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 8), min_size=300, max_size=500), st.integers(8, 20), st.integers(0, 99))
def test_many_pools_that_do_not_come_out_even(lengths, budget, seed):
    """A small budget makes several pools, whose last place is filled in some of them only."""
    epochs = token_epochs(table_of([[length] for length in lengths]), budget)
    assert [len(epochs.batches(seed, epoch)) for epoch in range(3)] == [epochs.steps_per_epoch] * 3


def test_batches_are_full():
    """Nine tenths of the budget hold tokens of rows, where lengths spread widely."""
    lengths = np.clip(np.random.default_rng(3).lognormal(2.6, 0.6, 5000).astype(int) + 2, 3, 64)
    epochs = token_epochs(table_of([[int(length)] for length in lengths]), 1024)
    assert epochs.pools == 1 and epochs.steps_per_epoch <= np.ceil(lengths.sum() / 1024 / 0.9)
    tokens = [len(batch) * lengths[batch].max() for batch in epochs.batches(0, 0)]
    assert np.quantile(tokens, 0.1) >= 0.9 * 1024


def test_no_batch_is_larger_than_the_number_of_batches_asks_for():
    """6 rows of 4 tokens under a budget of 20 are two batches: of 3 and 3 rows, not of 5 and 1."""
    batches = token_epochs(table_of([[4]] * 6), 20).batches(0, 0)
    assert [len(batch) for batch in batches] == [3, 3]


def test_epochs_differ_and_are_pure():
    lengths = np.random.default_rng(0).integers(3, 60, 4000)
    epochs = token_epochs(table_of([[int(length)] for length in lengths]), 256)
    assert epochs.pools > 5
    first, again, second = (epochs.batches(1, epoch) for epoch in (0, 0, 1))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    together = {frozenset(batch.tolist()) for batch in first} & {
        frozenset(batch.tolist()) for batch in second
    }
    assert len(together) < 0.05 * len(first)
    assert [lengths[batch[0]] for batch in first] != sorted(
        (lengths[batch[0]] for batch in first), reverse=True
    )


def test_by_hand():
    """10 tokens hold 2 x 5, 3 x 3 or 10 x 1; the longest rows come first."""
    epochs = token_epochs(table_of([[1], [3], [5], [3], [5], [3], [1]]), 10)
    found = {tuple(sorted(batch.tolist())) for batch in epochs.batches(0, 0)}
    assert found == {(2, 4), (1, 3, 5), (0, 6)}
    assert [sorted(rows.tolist()) for rows in epochs.hardest()] == [[2, 4]]


def test_a_row_of_several_sequences_counts_all_of_them_as_wide_as_the_longest():
    table = table_of([[2, 9, 4], [0]])
    assert row_shapes(table).tolist() == [[9, 3], [1, 1]]
    with pytest.raises(ConfigError, match=r"longer than 26 padded tokens by itself, up to 27") as refused:
        token_epochs(table, 26)
    assert "trainer.token_budget=27" in refused.value.problems[0].hint
    assert token_epochs(table, 27).steps_per_epoch == 2


def test_rows_of_very_different_numbers_of_sequences():
    """The widest row and the one of most sequences are two: they may not share a place that neither would fill."""
    rows = [[100], [90] * 5] * 400
    epochs = token_epochs(table_of(rows), 450)
    assert max(padded(rows, batch) for batch in epochs.batches(0, 0)) <= 450


def test_the_configuration_chooses():
    table = table_of([[4]] * 10)
    trainer = TrainerConfig(batch_size=4)
    assert plan_epochs(table, trainer).steps_per_epoch == 3 and rows_of_length(trainer, 4) == 4
    assert [len(rows) for rows in plan_epochs(table, trainer).hardest()] == [4]
    budget = dataclasses.replace(trainer, token_budget=8)
    assert plan_epochs(table, budget).steps_per_epoch == 5
    assert (rows_of_length(budget, 4), rows_of_length(budget, 100)) == (2, 1)


def test_no_rows():
    epochs = token_epochs(TokenTable(np.zeros(0, np.int32), np.zeros(1, np.int64)), 8)
    assert epochs.steps_per_epoch == 0 and epochs.batches(0, 0) == []
