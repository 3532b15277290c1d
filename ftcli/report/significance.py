"""Significance of the difference between two classifiers on the same rows.

Every function is pure: boolean arrays in, numbers out, and the same numbers for the same input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES = 10_000
SEED = 0
"""Fixed, so that comparing the same runs again prints the same interval."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Paired:
    """How often two classifiers are right on the same rows, and the statistics of their difference."""

    num_rows: int
    both_right: int
    only_first: int
    """Rows that the first gets right and the second wrong."""
    only_second: int
    difference: float
    """Accuracy of the second minus accuracy of the first, -1 to 1."""
    interval: tuple[float, float] | None
    """Bootstrap interval of the difference. None where no row is discordant: resampling would give 0 to 0, which
    says nothing about other rows."""
    p_value: float
    """McNemar's exact test, two-sided."""


def compare_paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """Returns counts, difference, interval and p value of two classifiers.

    Args:
        first: (num_rows,) bool, whether the first classifier is right on a row.
        second: (num_rows,) bool, the same rows in the same order.

    Raises:
        ValueError: the shapes differ, or there is no row.
    """
    only_first, only_second = discordant(first, second)
    interval = None
    if only_first + only_second:
        interval = bootstrap_interval(only_first, only_second, len(first))
    return Paired(
        num_rows=len(first),
        both_right=int(np.sum(first & second)),
        only_first=only_first,
        only_second=only_second,
        difference=(only_second - only_first) / len(first),
        interval=interval,
        p_value=mcnemar_exact(only_first, only_second),
    )


def discordant(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    """Returns how many rows only the first gets right, and how many only the second.

    Args:
        first: (num_rows,) bool.
        second: (num_rows,) bool.

    Raises:
        ValueError: the shapes differ, or there is no row.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"rows of one length are needed, came {first.shape} and {second.shape}")
    return int(np.sum(first & ~second)), int(np.sum(~first & second))


def bootstrap_interval(
    only_first: int,
    only_second: int,
    num_rows: int,
    *,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = SEED,
) -> tuple[float, float]:
    """Returns the paired percentile bootstrap interval of the difference in accuracy.

    Rows are resampled with replacement, both classifiers together: Efron and Tibshirani, "An
    Introduction to the Bootstrap" (1993), chapter 13. A row counts as -1, 0 or +1, and how many of each
    a resample holds is multinomial; drawing these counts is drawing the rows, without an array of
    (num_resamples, num_rows).

    Args:
        only_first: rows that only the first classifier gets right.
        only_second: rows that only the second gets right.
        num_rows: all rows.
        num_resamples: how many resamples are drawn.
        level: share of the resamples inside the interval.
        seed: of the draw.
    """
    rest = num_rows - only_first - only_second
    shares = np.array([only_first, only_second, rest]) / num_rows
    counts = np.random.default_rng(seed).multinomial(num_rows, shares, size=num_resamples)
    differences = (counts[:, 1] - counts[:, 0]) / num_rows
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Returns the two-sided p value of McNemar's exact test; 1 where no row is discordant.

    McNemar, "Note on the sampling error of the difference between correlated proportions" (1947), with the
    binomial distribution instead of the chi-square, which needs many discordant rows. Under the null hypothesis each
    discordant row is the first's or the second's with probability 1/2.

    Args:
        only_first: rows that only the first classifier gets right.
        only_second: rows that only the second gets right.
    """
    from scipy.stats import binomtest

    num_discordant = only_first + only_second
    return float(binomtest(only_first, num_discordant, 0.5).pvalue) if num_discordant else 1.0


def holm(p_values: list[float]) -> list[float]:
    """Returns the p values corrected for their number, in the order they came.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979). It controls the same error rate as
    Bonferroni's correction (any false claim among all pairs) and rejects at least as often.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    # The smallest p value is multiplied by the number of tests, the next one by one less, and so on; the running
    # maximum keeps their order.
    factors = len(values) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return corrected.tolist()
