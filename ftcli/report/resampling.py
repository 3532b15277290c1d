"""Significance of a difference in a figure that is made of sums over rows: a mean error, an F1, an accuracy of words.

Every function is pure: arrays in, numbers out, and the same numbers for the same input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ftcli.report.significance import LEVEL, NUM_RESAMPLES, SEED

Statistic = Callable[[np.ndarray], np.ndarray]
"""Sums over rows, (num_resamples, num_sums) -> the figure of each, (num_resamples,)."""
MAX_DRAWS = 200_000_000
"""Most rows drawn in all, a few seconds' work: of very many rows fewer resamples are taken."""
MIN_RESAMPLES = 1000
BLOCK_BYTES = 1 << 25


@dataclass(frozen=True, slots=True)
class PairedFigures:
    """A figure of two models on the same rows, and the statistics of its difference."""

    num_rows: int
    first: float
    """Figure of the first model."""
    second: float
    difference: float
    """Figure of the second minus that of the first."""
    interval: tuple[float, float] | None
    """Paired bootstrap interval of the difference. None where the models do not differ on any row."""
    p_value: float
    """Paired permutation test, two-sided."""


def compare_figures(first: np.ndarray, second: np.ndarray, statistic: Statistic) -> PairedFigures:
    """Returns the figures of two models, their difference, its interval and its p value.

    Args:
        first: (num_rows, num_sums), what each row adds to the sums of the first model.
        second: (num_rows, num_sums), the same rows in the same order.
        statistic: makes the figure of the sums.

    Raises:
        ValueError: the shapes differ, or there is no row.
    """
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise ValueError(f"rows of one length are needed, came {first.shape} and {second.shape}")
    ours, theirs = (float(statistic(sums.sum(0, keepdims=True))[0]) for sums in (first, second))
    differ = bool((first != second).any())
    return PairedFigures(
        num_rows=len(first),
        first=ours,
        second=theirs,
        difference=theirs - ours,
        interval=bootstrap_interval(first, second, statistic) if differ else None,
        p_value=permutation_test(first, second, statistic) if differ else 1.0,
    )


def permutation_test(
    first: np.ndarray,
    second: np.ndarray,
    statistic: Statistic,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = SEED,
) -> float:
    """Returns the two-sided p value of the paired permutation test.

    Under the null hypothesis the two models' results on a row can be exchanged: they are, for each row with
    probability 1/2, and p is the share of draws that differ at least as much as what was seen, which counts as one
    draw (Yeh, "More accurate tests for the statistical significance of result differences", 2000; Phipson and
    Smyth, "Permutation P-values should never be zero", 2010).

    Args:
        first: (num_rows, num_sums).
        second: (num_rows, num_sums).
        statistic: makes the figure of the sums.
        num_resamples: most draws.
        seed: of the draws.
    """
    observed = statistic(second.sum(0, keepdims=True)) - statistic(first.sum(0, keepdims=True))
    # Rows on which both are the same stay the same when they are exchanged.
    change = (second - first)[(first != second).any(1)].astype(np.float64)
    base, other = first.sum(0), second.sum(0)
    total = _resamples(len(change), num_resamples)
    random = np.random.default_rng(seed)
    width = (len(change) + 7) // 8
    block = max(1, BLOCK_BYTES // (8 * len(change)))
    extreme = 0
    for start in range(0, total, block):
        count = min(block, total - start)
        bits = random.integers(0, 256, (count, width), dtype=np.uint8)
        moved = np.unpackbits(bits, axis=1, count=len(change)).astype(np.float64) @ change
        drawn = statistic(other - moved) - statistic(base + moved)
        # Sums in another order differ in their last digits: a draw that is equal counts.
        extreme += int(np.sum(np.abs(drawn) >= np.abs(observed) - 1e-12 * (1 + np.abs(observed))))
    return (extreme + 1) / (total + 1)


def bootstrap_interval(
    first: np.ndarray,
    second: np.ndarray,
    statistic: Statistic,
    *,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = SEED,
) -> tuple[float, float]:
    """Returns the paired percentile bootstrap interval of the difference (second - first).

    Rows are resampled with replacement, both models together: Efron and Tibshirani, "An Introduction to the
    Bootstrap" (1993), chapter 13.

    Args:
        first: (num_rows, num_sums).
        second: (num_rows, num_sums).
        statistic: makes the figure of the sums.
        num_resamples: most resamples.
        level: share of the resamples inside the interval.
        seed: of the draws.
    """
    num_rows, total = len(first), _resamples(len(first), num_resamples)
    random = np.random.default_rng(seed)
    both = np.hstack([first, second]).astype(np.float64)
    sums = np.empty((total, both.shape[1]))
    for draw in range(total):
        times = np.bincount(random.integers(num_rows, size=num_rows), minlength=num_rows)
        sums[draw] = times @ both
    middle = first.shape[1]
    differences = statistic(sums[:, middle:]) - statistic(sums[:, :middle])
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resamples(num_rows: int, wanted: int) -> int:
    return min(wanted, max(MIN_RESAMPLES, MAX_DRAWS // num_rows))


def f1_of_sums(sums: np.ndarray) -> np.ndarray:
    """Returns F1, (num_resamples,), of (num_resamples, 3) sums: right ones, those predicted, those labelled; 0 without any."""
    right, found, labelled = sums.T
    return np.divide(2 * right, found + labelled, out=np.zeros(len(sums)), where=found + labelled > 0)


def share_of_sums(sums: np.ndarray) -> np.ndarray:
    """Returns the share, (num_resamples,), of (num_resamples, 2) sums: the part, and the whole; 0 of nothing.

    A mean is such a share: of the sum of values in the number of rows.
    """
    part, whole = sums.T
    return np.divide(part, whole, out=np.zeros(len(sums)), where=whole > 0)
