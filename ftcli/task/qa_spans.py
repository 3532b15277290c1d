"""Scores of first and last tokens -> the best span of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

KEPT = 20
"""Spans of a row that share its probability, n_best_size of Devlin et al.'s run_squad.py."""


def window_spans(
    logits: torch.Tensor, usable: torch.Tensor, max_tokens: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the best spans of each window: all pairs of tokens in reach of each other are looked at.

    Args:
        logits: (num_windows, seq_len, 2) of first and last tokens.
        usable: (num_windows, seq_len) bool: tokens of the context.
        max_tokens: most tokens of a span.

    Returns:
        Scores, first and last tokens, each (num_windows, KEPT or fewer), falling; a score of -inf is no span.
    """
    import torch.nn.functional as F

    first, last = logits.masked_fill(~usable[..., None], float("-inf")).unbind(-1)
    reach = min(max_tokens, logits.shape[1])
    ahead = F.pad(last, (0, reach - 1), value=float("-inf")).unfold(1, reach, 1)  # (windows, seq_len, reach)
    scores = (first[..., None] + ahead).flatten(1)
    best, place = scores.topk(min(KEPT, scores.shape[1]))
    begins = place // reach
    lasts = (begins + place % reach).clamp(max=logits.shape[1] - 1)  # beyond it there are only scores of -inf
    return best.cpu().numpy(), begins.cpu().numpy(), lasts.cpu().numpy()


def choose(
    scores: np.ndarray, starts: np.ndarray, ends: np.ndarray, null: float, threshold: float | None
) -> np.ndarray:
    """Returns the best of a row's spans over all of its windows.

    Args:
        scores: (n,) of the spans, -inf for none.
        starts: (n,) first characters in the context.
        ends: (n,) characters after the last ones.
        null: score of `no answer`, the lowest of the windows.
        threshold: `no answer` wins where its score is this much above the best span's; None: never, while
            there is a span.

    Returns:
        (4,) fp64: first character, the one after the last (0 and 0 for no answer), score, and probability:
        the softmax over the KEPT best spans and, with a threshold, `no answer`.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    _, fresh = np.unique(np.stack([starts[order], ends[order]], 1), axis=0, return_index=True)
    kept = order[np.sort(fresh)[:KEPT]]  # overlapping windows hold a span twice
    found = scores[kept].astype(np.float64)
    none = not len(kept) or (threshold is not None and null - found[0] > threshold)
    shares = np.append(found, null) if threshold is not None or none else found
    score = null if none else found[0]
    total = np.log(np.exp(shares - shares.max()).sum()) + shares.max()
    start, end = (0, 0) if none else (starts[kept[0]], ends[kept[0]])
    return np.array([start, end, score, np.exp(score - total)], dtype=np.float64)
