"""What counts as better, and when to give up waiting for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftcli.trainer.state import TrainState


@dataclass(frozen=True, slots=True)
class Monitor:
    """Early stopping and best-checkpoint rule on one validation figure.

    Patience counts evaluations, as in Prechelt, "Early Stopping - But When?" (1998), criterion UP.
    """

    name: str
    higher_is_better: bool
    patience: int | None
    min_delta: float

    def record(self, state: TrainState, scores: dict[str, float]) -> bool:
        """Updates best and patience in `state`; returns whether this evaluation is the best yet.

        Best is strict improvement by more than `min_delta`, so that ties keep the earlier checkpoint.
        """
        score = scores[self.name]
        improved = state.best_score is None or self._gain(score, state.best_score) > self.min_delta
        if improved:
            state.best_score, state.best_step = score, state.step
            state.best_eval = dict(scores)
            state.bad_evaluations = 0
        else:
            state.bad_evaluations += 1
            state.stopped_early = self.patience is not None and state.bad_evaluations >= self.patience
        return improved

    def _gain(self, score: float, best: float) -> float:
        """Returns by how much `score` is better; NaN is worse than every number."""
        if math.isnan(score) or math.isnan(best):
            return math.inf if math.isnan(best) and not math.isnan(score) else -math.inf
        return score - best if self.higher_is_better else best - score
