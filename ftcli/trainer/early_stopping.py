"""What counts as better, and when to give up waiting for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ftcli.plan.plan import Trigger
from ftcli.trainer.state import TrainState


@dataclass(frozen=True, slots=True)
class Monitor:
    """Best-checkpoint rule and early stopping on one validation figure, in one phase.

    Patience counts evaluations, as in Prechelt, "Early Stopping - But When?" (1998), criterion UP.
    """

    name: str
    higher_is_better: bool
    trigger: Trigger

    def record(self, state: TrainState, scores: dict[str, float]) -> bool:
        """Updates best and patience in `state`; returns whether this evaluation is the best yet.

        Best is strict improvement by more than `min_delta`, so that ties keep the earlier checkpoint.
        """
        score = scores[self.name]
        state.phase_scores.append(score)
        improved = state.best_score is None or self._gain(score, state.best_score) > self.trigger.min_delta
        if improved:
            state.best_score, state.best_step = score, state.step
            state.best_eval = dict(scores)
            state.bad_evaluations = 0
        else:
            state.bad_evaluations += 1
        return improved

    def reason(self, state: TrainState) -> str:
        """Returns why the scores end the phase, or ``."""
        patience, slope = self.trigger.patience, self.trigger.plateau_slope
        if patience is not None and state.bad_evaluations >= patience:
            return "early stopping"
        if slope is not None and len(state.phase_scores) >= self.trigger.plateau_window:
            gain = fitted_slope(state.phase_scores[-self.trigger.plateau_window :])
            if not (gain if self.higher_is_better else -gain) >= slope:
                return f"slope below {slope:g}"
        return ""

    def _gain(self, score: float, best: float) -> float:
        """Returns by how much `score` is better; NaN is worse than every number."""
        if math.isnan(score) or math.isnan(best):
            return math.inf if math.isnan(best) and not math.isnan(score) else -math.inf
        return score - best if self.higher_is_better else best - score


def fitted_slope(scores: list[float]) -> float:
    """Returns the slope of the least-squares line through scores at 0, 1, 2, ..."""
    middle = (len(scores) - 1) / 2
    mean = sum(scores) / len(scores)
    over = sum((x - middle) * (y - mean) for x, y in enumerate(scores))
    return over / sum((x - middle) ** 2 for x in range(len(scores)))
