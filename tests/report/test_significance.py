"""The statistics of a pair against values by hand, an independent formula and scipy."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
import scipy.stats

from ftcli.report.significance import bootstrap_interval, compare_paired, discordant, holm, mcnemar_exact


def rows(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, only_first, only_second, neither]
    first = np.repeat([True, True, False, False], counts)
    return first, np.repeat([True, False, True, False], counts)


def test_discordant_rows_by_hand():
    first = np.array([True, True, False, False, True])
    second = np.array([True, False, True, False, False])
    assert discordant(first, second) == (2, 1)
    assert discordant(second, first) == (1, 2)


@pytest.mark.parametrize(("first", "second"), [([True], [True, False]), ([], []), ([[True]], [[True]])])
def test_rows_that_do_not_match_are_refused(first, second):
    with pytest.raises(ValueError, match="one length"):
        discordant(np.array(first, dtype=bool), np.array(second, dtype=bool))


@pytest.mark.parametrize(("b", "c", "p_value"), [
    (0, 0, 1.0),
    (1, 0, 1.0),
    (3, 3, 1.0),
    (0, 5, 2 / 32),
    (0, 6, 2 / 64),
    (1, 7, 2 * (1 + 8) / 256),
    (9, 12, None),
    (40, 71, None),
])  # fmt: skip
def test_mcnemar_is_twice_the_smaller_tail(b, c, p_value):
    n = b + c
    tail = Fraction(2 * sum(comb(n, k) for k in range(min(b, c) + 1)), 2**n)
    expected = float(min(tail, Fraction(1))) if p_value is None else p_value
    assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(c, b) == pytest.approx(expected, rel=1e-9)


def test_the_interval_is_that_of_resampled_rows():
    first, second = rows(150, 30, 45, 75)
    expected = scipy.stats.bootstrap(
        (first.astype(float), second.astype(float)),
        lambda a, b, axis: np.mean(b - a, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    low, high = bootstrap_interval(30, 45, 300)
    assert low == pytest.approx(expected.low, abs=0.005)
    assert high == pytest.approx(expected.high, abs=0.005)
    assert low < 0.05 < high


def test_the_interval_of_one_sided_rows_is_binomial():
    low, high = bootstrap_interval(0, 20, 100, num_resamples=200_000)
    exact = scipy.stats.binom(100, 0.2)
    assert (low, high) == pytest.approx((exact.ppf(0.025) / 100, exact.ppf(0.975) / 100), abs=1e-9)


def test_the_interval_turns_with_the_pair_and_repeats():
    low, high = bootstrap_interval(9, 12, 272)
    assert bootstrap_interval(9, 12, 272) == (low, high)
    turned = bootstrap_interval(12, 9, 272)
    assert turned == pytest.approx((-high, -low), abs=0.005)
    narrow = bootstrap_interval(9, 12, 272, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_a_pair_in_whole():
    paired = compare_paired(*rows(200, 9, 12, 51))
    assert (paired.num_rows, paired.both_right, paired.only_first, paired.only_second) == (272, 200, 9, 12)
    assert paired.difference == pytest.approx(3 / 272)
    assert paired.p_value == pytest.approx(scipy.stats.binomtest(9, 21).pvalue)
    assert paired.interval is not None and paired.interval[0] < 0 < paired.interval[1]
    assert compare_paired(*rows(5, 0, 0, 3)).interval is None


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04, and never less than the one before
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2] and holm([]) == []
