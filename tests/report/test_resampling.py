"""Permutation test and bootstrap of sums over rows, against exact enumeration and scipy."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from ftcli.report.resampling import (
    bootstrap_interval,
    compare_figures,
    f1_of_sums,
    permutation_test,
    share_of_sums,
)


def errors(values) -> np.ndarray:
    return np.stack([np.asarray(values, dtype=float), np.ones(len(values))], 1)


def exact(first, second, statistic) -> float:
    """Returns the p value over all exchanges of rows."""
    observed = abs(float((statistic(second.sum(0)[None]) - statistic(first.sum(0)[None]))[0]))
    found = []
    for swaps in product([False, True], repeat=len(first)):
        mask = np.array(swaps)[:, None]
        a, b = np.where(mask, second, first), np.where(mask, first, second)
        found.append(
            abs(float((statistic(b.sum(0)[None]) - statistic(a.sum(0)[None]))[0])) >= observed - 1e-12
        )
    return float(np.mean(found))


def test_the_p_value_of_absolute_errors_is_that_of_all_exchanges():
    random = np.random.default_rng(3)
    first, second = errors(random.random(10) + 0.3), errors(random.random(10))
    assert permutation_test(first, second, share_of_sums) == pytest.approx(
        exact(first, second, share_of_sums), abs=0.01
    )
    better = errors(np.zeros(7))
    assert permutation_test(errors(np.ones(7)), better, share_of_sums) == pytest.approx(2 / 2**7, abs=0.004)


def test_the_p_value_of_an_f1_is_that_of_all_exchanges():
    random = np.random.default_rng(1)
    labelled = random.integers(1, 4, 10)
    runs = []
    for share in (0.3, 0.8):
        right = random.binomial(labelled, share)
        runs.append(np.stack([right, right + random.integers(0, 2, 10), labelled], 1))
    assert permutation_test(*runs, f1_of_sums) == pytest.approx(exact(*runs, f1_of_sums), abs=0.015)


def test_the_interval_is_that_of_scipy():
    random = np.random.default_rng(5)
    first, second = random.gamma(2, 1, 60), random.gamma(2, 1, 60)
    theirs = stats.bootstrap(
        (first, second), lambda a, b, axis: (b - a).mean(axis), paired=True, method="percentile",
        n_resamples=9999, rng=np.random.default_rng(0), vectorized=True,
    ).confidence_interval  # fmt: skip
    ours = bootstrap_interval(errors(first), errors(second), share_of_sums)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_the_same_rows_give_the_same_numbers_and_no_interval_where_nothing_differs():
    values = errors([0.5, 1.0, 2.0])
    same = compare_figures(values, values.copy(), share_of_sums)
    assert (same.difference, same.interval, same.p_value) == (0.0, None, 1.0)
    assert same.first == pytest.approx(3.5 / 3)
    other = errors([0.1, 1.5, 2.0])
    assert compare_figures(values, other, share_of_sums) == compare_figures(values, other, share_of_sums)


def test_figures_of_nothing_are_0():
    assert f1_of_sums(np.zeros((1, 3))).tolist() == [0.0] and share_of_sums(np.zeros((1, 2))).tolist() == [
        0.0
    ]
    assert f1_of_sums(np.array([[2, 3, 5]])).tolist() == [0.5]


def test_many_rows_take_seconds():
    random = np.random.default_rng(0)
    first, second = errors(random.random(40_000)), errors(random.random(40_000) - 0.1)
    found = compare_figures(first, second, share_of_sums)
    assert found.p_value < 0.001 and found.interval[1] < 0


def test_wrong_shapes():
    with pytest.raises(ValueError):
        compare_figures(errors([1.0]), errors([1.0, 2.0]), share_of_sums)
