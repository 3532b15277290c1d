"""What a language model that knows a batch by heart still cannot know: which way a text goes on where several go on otherwise."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np

from ftcli.batching.token_table import TokenTable


def floor_of(table: TokenTable, rows: np.ndarray) -> tuple[float, float]:
    """Returns the lowest mean loss of these rows, in nats a target, and the highest share of targets predicted right.

    Both are those of the frequencies of what follows each beginning: a beginning that goes on in one way costs nothing.

    Args:
        table: with targets marked.
        rows: (batch,) row numbers.
    """
    # A beginning is a node of the tree of all rows: numbered by the node before it and the token.
    nodes: dict[tuple[int, int], int] = {}
    follows: dict[int, Counter[int]] = defaultdict(Counter)
    for row in rows.tolist():
        node = 0
        for token, is_target in zip(table.row(row).tolist(), table.label(row).tolist(), strict=True):
            if is_target:
                follows[node][token] += 1
            node = nodes.setdefault((node, token), len(nodes) + 1)
    targets = sum(counts.total() for counts in follows.values())
    entropy = sum(-n * math.log(n / counts.total()) for counts in follows.values() for n in counts.values())
    majority = sum(max(counts.values()) for counts in follows.values())
    return entropy / max(targets, 1), majority / max(targets, 1)
