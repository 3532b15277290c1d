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

        An evaluation whose figure or loss is NaN is never the best. Best is improvement by more than `min_delta`; among
        equal scores it is the lower loss. An equal score does not reset patience, for the figure did not improve.
        """
        score = scores[self.name]
        state.phase_scores.append(score)
        improved = self._improved(state, scores)
        state.bad_evaluations = 0 if improved else state.bad_evaluations + 1
        best = improved or self._wins_a_tie(state, scores)
        if best:
            state.best_score, state.best_step = score, state.step
            state.best_eval = dict(scores)
        return best

    def comparable(self, scores: dict[str, float]) -> bool:
        """Returns whether an evaluation can be the best: neither its figure nor its loss is NaN."""
        return math.isfinite(scores[self.name]) and not math.isnan(scores.get("loss", 0.0))

    def _improved(self, state: TrainState, scores: dict[str, float]) -> bool:
        """Returns whether the figure is better than the best one by more than `min_delta`."""
        if not self.comparable(scores):
            return False
        best = state.best_score
        if best is None or math.isnan(best):  # runs of 0.1 began with a NaN as the best
            return True
        return self._gain(scores[self.name], best) > self.trigger.min_delta

    def _wins_a_tie(self, state: TrainState, scores: dict[str, float]) -> bool:
        """Returns whether the figure equals the best one at a lower loss."""
        if not self.comparable(scores) or scores[self.name] != state.best_score:
            return False
        return scores.get("loss", math.inf) < state.best_eval.get("loss", math.inf)

    def reason(self, state: TrainState) -> str:
        """Returns why the scores end the phase, or ''."""
        patience, slope = self.trigger.patience, self.trigger.plateau_slope
        if patience is not None and state.bad_evaluations >= patience:
            return "early stopping"
        if slope is not None and len(state.phase_scores) >= self.trigger.plateau_window:
            gain = fitted_slope(state.phase_scores[-self.trigger.plateau_window :])
            if not (gain if self.higher_is_better else -gain) >= slope:
                return f"slope below {slope:g}"
        return ""

    def _gain(self, score: float, best: float) -> float:
        """Returns by how much `score` is better."""
        return score - best if self.higher_is_better else best - score


def fitted_slope(scores: list[float]) -> float:
    """Returns the slope of the least-squares line through scores at 0, 1, 2, ..."""
    middle = (len(scores) - 1) / 2
    mean = sum(scores) / len(scores)
    over = sum((x - middle) * (y - mean) for x, y in enumerate(scores))
    return over / sum((x - middle) ** 2 for x in range(len(scores)))
