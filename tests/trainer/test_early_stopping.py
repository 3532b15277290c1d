"""Best checkpoint and early stopping, on scores made by hand."""

import math

import pytest

from ftcli.plan.plan import Trigger
from ftcli.trainer.early_stopping import Monitor, fitted_slope
from ftcli.trainer.state import TrainState


def follow(scores: list[float], **fields) -> tuple[list[bool], TrainState]:
    """Records scores at steps 10, 20, ... until the monitor stops; returns each `best` and the state."""
    own = {"higher_is_better": True} | {k: fields.pop(k) for k in ("name", "higher_is_better") if k in fields}
    monitor = Monitor(**{"name": "m", "trigger": Trigger(**fields), **own})
    state, best = TrainState(), []
    for number, score in enumerate(scores, 1):
        state.step = 10 * number
        best.append(monitor.record(state, {"m": score, "loss": 1.0}))
        state.phase_ended = monitor.reason(state)
        if state.phase_ended:
            break
    return best, state


@pytest.mark.parametrize(("fields", "scores", "best", "best_step", "stopped"), [
    ({}, [0.5, 0.6, 0.6, 0.4, 0.7], [True, True, False, False, True], 50, False),
    ({"higher_is_better": False}, [0.5, 0.6, 0.4, 0.4], [True, False, True, False], 30, False),
    ({"patience": 2}, [0.5, 0.4, 0.6, 0.5, 0.6, 0.9], [True, False, True, False, False], 30, True),
    ({"patience": 1}, [0.5, 0.5, 0.9], [True, False], 10, True),
    ({"patience": 2, "min_delta": 0.25}, [0.25, 0.5, 0.5, 0.75], [True, False, False], 10, True),
    ({"patience": 2, "min_delta": 0.125}, [0.25, 0.375, 0.5, 0.625, 0.75], [True, False, True, False, True], 50, False),
    ({"patience": 2, "min_delta": 0.25, "higher_is_better": False}, [1.0, 0.75, 0.5, 0.5, 0.5], [True, False, True, False, False], 30, True),
])  # fmt: skip
def test_best_and_patience(fields, scores, best, best_step, stopped):
    """Binary fractions, so that a gain of exactly min_delta is exact: it is no improvement."""
    found, state = follow(scores, **fields)
    assert found == best and state.best_step == best_step and bool(state.phase_ended) == stopped
    assert state.best_score == scores[best_step // 10 - 1] and state.best_eval["m"] == state.best_score


@pytest.mark.parametrize("higher", [True, False])
def test_nan_is_never_the_best(higher):
    best, state = follow([math.nan, 0.5, math.nan, math.nan], higher_is_better=higher, patience=2)
    assert best == [False, True, False, False] and state.best_score == 0.5 and state.phase_ended
    best, state = follow([math.nan, math.nan], higher_is_better=higher, patience=2)
    assert best == [False, False] and state.best_step is None and state.best_score is None
    assert state.bad_evaluations == 2 and state.phase_ended


def test_a_score_beside_a_loss_of_nan_is_never_the_best():
    """NaN logits have an argmax too, and so an accuracy."""
    monitor, state = Monitor("m", True, Trigger()), TrainState(step=10)
    assert not monitor.record(state, {"m": 0.5, "loss": math.nan})
    assert monitor.record(state, {"m": 0.4, "loss": math.inf})


def test_an_infinite_loss_is_never_the_best():
    monitor, state = Monitor("loss", False, Trigger()), TrainState(step=10)
    assert not monitor.record(state, {"loss": math.inf}) and monitor.record(state, {"loss": 3.0})


def test_a_nan_that_an_older_version_took_for_the_best_gives_way():
    monitor, state = Monitor("m", True, Trigger()), TrainState(step=10, best_step=5, best_score=math.nan)
    assert monitor.record(state, {"m": 0.1, "loss": 1.0}) and state.best_score == 0.1


@pytest.mark.parametrize("higher", [True, False])
def test_of_equal_scores_the_lower_loss_is_the_best(higher):
    """It is saved as the best; patience goes on counting, for the figure did not improve."""
    monitor, state = Monitor("m", higher, Trigger(patience=3, min_delta=0.25)), TrainState()
    best = []
    for step, loss in enumerate([0.7, 0.5, 0.6, 0.5], 1):
        state.step = step
        best.append(monitor.record(state, {"m": 0.5, "loss": loss}))
    assert best == [True, True, False, False] and state.best_step == 2 and state.best_eval["loss"] == 0.5
    assert state.bad_evaluations == 3 and monitor.reason(state) == "early stopping"


def test_patience_counts_evaluations_in_a_row():
    _, state = follow([0.5, 0.4, 0.4, 0.6, 0.4, 0.4], patience=3)
    assert not state.phase_ended and state.bad_evaluations == 2


@pytest.mark.parametrize(("scores", "higher", "ends"), [
    ([0.1, 0.2, 0.3, 0.4], True, False),  # gains 0.1 an evaluation
    ([0.1, 0.2, 0.2, 0.2], True, True),  # 0.0 over the last three
    ([0.1, 0.2, 0.21, 0.26], True, True),  # 0.03
    ([0.9, 0.6, 0.3, 0.0], False, False),
    ([0.9, 0.6, 0.59, 0.58], False, True),
    ([0.1, 0.2], True, False),  # too few to fit a line
    ([0.1, math.nan, math.nan, math.nan], True, True),
])  # fmt: skip
def test_a_slope_below_the_limit_ends_the_phase(scores, higher, ends):
    monitor = Monitor("m", higher, Trigger(plateau_slope=0.05, plateau_window=3))
    state = TrainState()
    for number, score in enumerate(scores, 1):
        state.step = number
        monitor.record(state, {"m": score, "loss": 1.0})
    assert bool(monitor.reason(state)) == ends


def test_the_slope_is_that_of_least_squares():
    import numpy as np

    scores = [0.3, 0.1, 0.7, 0.4, 0.9]
    assert fitted_slope(scores) == pytest.approx(np.polyfit(range(5), scores, 1)[0])
