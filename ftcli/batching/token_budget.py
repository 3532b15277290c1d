"""Batches of at most so many padded tokens: pure functions of lengths, budget, seed and epoch.

The number of batches, and the most rows and tokens of each, depend on the lengths alone: every epoch has as
many steps as the first, so warmups, curves, phases and ends are known exactly before step one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ftcli.batching.sampler import MEGA_BATCH, epoch_random
from ftcli.batching.token_table import TokenTable
from ftcli.errors import ConfigError, Problem

KEY = "trainer.token_budget"


@dataclass(frozen=True, slots=True)
class TokenEpochs:
    """Epochs of batches that hold at most `trainer.token_budget` padded tokens each.

    The rows, sorted by length, are dealt out to `pools`: of each `pools` neighbours in that order every pool
    gets one, drawn by seed and epoch. So all pools have the same lengths, place by place, as nearly as the
    rows allow, and one row of cuts serves them all. It is computed from the longest row at each place, and
    therefore holds for whatever is drawn. Compare the mega-batches of `sampler.epoch_batches`: a pool is one
    whose lengths do not change. (Rows for a single pool, about 50 batches, meet the same neighbours in every
    epoch, save those of one length; so they do in a single mega-batch.)
    """

    rows: np.ndarray
    """(num_rows,) row numbers, longest first"""
    shapes: np.ndarray
    """(num_rows, 2) int64: of those rows the tokens of the longest sequence, and the number of sequences"""
    pools: int
    cuts: tuple[int, ...]
    """Places in a pool at which batches begin, and the end."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch."""
        # Where the pools do not divide the rows, the last place is filled in some pools only.
        missing = -len(self.rows) % self.pools
        lone_tail = len(self.cuts) > 1 and self.cuts[-1] - self.cuts[-2] == 1
        return self.pools * (len(self.cuts) - 1) - (missing if lone_tail else 0)

    def batches(self, seed: int, epoch: int) -> list[np.ndarray]:
        """Returns the batches of an epoch, each row in exactly one of them.

        Args:
            seed: of the run, at least 0.
            epoch: counted from 0.

        Returns:
            `steps_per_epoch` arrays of row numbers, (batch,) int64, in each the longest row first.
        """
        random = epoch_random(seed, epoch)
        num_rows = len(self.rows)
        # Rows of one shape are interchangeable, so their order is drawn first; then neighbours are dealt out.
        drawn = random.permutation(num_rows)
        alike = drawn[np.lexsort((self.shapes[drawn, 1], self.shapes[drawn, 0]))[::-1]]
        dealt = np.lexsort((random.random(num_rows), np.arange(num_rows) // self.pools))
        order = alike[dealt]
        found = []
        for pool in range(self.pools):
            own = order[pool :: self.pools]
            for start, end in zip(self.cuts, self.cuts[1:], strict=False):
                batch = own[start:end]
                # A place's longest row need not be in this pool: sort again.
                keys = np.lexsort((batch, self.shapes[batch, 1], self.shapes[batch, 0]))[::-1]
                found.append(self.rows[batch[keys]])
        found = [batch for batch in found if len(batch)]
        return [found[place] for place in random.permutation(len(found))]

    def hardest(self) -> list[np.ndarray]:
        """Returns two batches that need most memory, (batch,) row numbers each: of the longest rows, and of the most tokens."""
        spans = [
            (start * self.pools, (end - start)) for start, end in zip(self.cuts, self.cuts[1:], strict=False)
        ]
        tokens = [self.shapes[at, 0] * self.shapes[at : at + count, 1].sum() for at, count in spans]
        chosen = dict.fromkeys([spans[0], spans[int(np.argmax(tokens))]])
        return [self.rows[at : at + count] for at, count in chosen]


def token_epochs(table: TokenTable, budget: int) -> TokenEpochs:
    """Returns how the rows of a table are cut into batches of at most `budget` padded tokens.

    Padded tokens are sequences times the longest of them: a row of a multiple choice, or of a long context
    read in windows, brings several sequences. The cuts are those of the smallest budget that needs no more batches
    (found by bisection; greedy cuts of a sorted list are fewest): none is larger than their number asks for.

    Args:
        table: the training rows.
        budget: most padded tokens of a batch.

    Raises:
        ConfigError: a row that is longer than the budget by itself.
    """
    shapes = row_shapes(table)
    order = np.lexsort((shapes[:, 1], shapes[:, 0]))[::-1]
    shapes = shapes[order]
    alone = shapes[:, 0] * shapes[:, 1]
    if (longest := int(alone.max(initial=0))) > budget:
        raise ConfigError(_too_long(int((alone > budget).sum()), longest, budget))
    if not len(order):
        return TokenEpochs(order, shapes, 1, (0,))
    pools = max(1, int(alone.sum()) // (MEGA_BATCH * budget))
    places = _places(shapes, pools)
    while (places[:, 0] * places[:, 1]).max() > budget:
        # The longest row of a place and the one of most sequences are two: fewer neighbours a place.
        pools //= 2
        places = _places(shapes, pools)
    cuts = _cuts(places, budget)
    low, high = int((places[:, 0] * places[:, 1]).max()), budget
    while low < high:
        middle = (low + high) // 2
        tried = _cuts(places, middle)
        low, high, cuts = (low, middle, tried) if len(tried) <= len(cuts) else (middle + 1, high, cuts)
    return TokenEpochs(order, shapes, pools, tuple(cuts))


def row_shapes(table: TokenTable) -> np.ndarray:
    """Returns (num_rows, 2) int64: tokens of each row's longest sequence, at least 1, and its sequences."""
    lengths = np.maximum(1, np.diff(table.offsets))
    if table.groups is None or not len(table):
        return np.stack([lengths, np.ones_like(lengths)], 1)
    return np.stack([np.maximum.reduceat(lengths, table.groups[:-1]), np.diff(table.groups)], 1)


def _places(shapes: np.ndarray, pools: int) -> np.ndarray:
    """Returns (num_places, 2): the most tokens and the most sequences of any row that may come to each place."""
    return np.maximum.reduceat(shapes, np.arange(0, len(shapes), pools))


def _cuts(places: np.ndarray, budget: int) -> list[int]:
    """Cuts places, (num_places, 2) widest first, greedily: each batch as long as it fits."""
    ends = np.cumsum(places[:, 1])
    cuts = [0]
    while cuts[-1] < len(places):
        start = cuts[-1]
        before = int(ends[start] - places[start, 1])
        fitting = before + budget // int(places[start, 0])
        cuts.append(int(np.searchsorted(ends, fitting, side="right")))
    return cuts


def _too_long(count: int, longest: int, budget: int) -> Problem:
    few = "a training row is" if count == 1 else f"each of {count:,} training rows is"
    message = f"{few} longer than {budget} padded tokens by itself, up to {longest}"
    return Problem(KEY, message, f"type {KEY}={longest} or more, or a smaller tokenizer.max_length")
