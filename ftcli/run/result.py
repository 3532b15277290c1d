"""The end of a run: scores of the best checkpoint, predictions, result.json and the closing table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ftcli.batching.aligned import aligned
from ftcli.config.compose import Composed
from ftcli.errors import CheckpointError, Problem
from ftcli.run.predictions import save_predictions
from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.storage.manifest import file_sha256

if TYPE_CHECKING:
    from ftcli.console.console import Screen
    from ftcli.run.model import ModelAndPlan
    from ftcli.trainer.evaluation import Scores
    from ftcli.trainer.trainer import Trainer


def close_run(
    composed: Composed, session: RunSession, trainer: Trainer, run: RunDir, screen: Screen
) -> dict[str, Any]:
    """Scores the best checkpoint unless its evaluation was the last thing done; writes and prints the result.

    A run whose monitored figure was always NaN has no best checkpoint: its last one is scored.

    Args:
        composed: the run's configuration.
        session: its objects.
        trainer: at the end of its plan.
        run: where predictions and result.json go.
        screen: where the closing table goes.

    Raises:
        CheckpointError: the best checkpoint scores otherwise on reload than in training.
    """
    from ftcli.run.tables import show_result

    trainer.end_phase()
    scores, same_way = trainer.score_best()
    _save(session, trainer, run, "validation", scores)
    if trainer.state.best_step is None:
        screen.note(_no_best(trainer))
    elif same_way and not _equal(scores.figures, trainer.state.best_eval):
        best = trainer.context.required_store.find("best")
        message = f"scores {scores.figures} on reload, {trainer.state.best_eval} in training"
        raise CheckpointError(Problem(str(best.path), message))
    screen.notes(
        f"phase {index} never began: the run ended at step {trainer.state.step}"
        for index in _never_began(trainer)
    )
    test = _score_test(session, trainer, run, screen)
    result = _result(composed, session, trainer, run, scores, test)
    which = "last" if trainer.state.best_step is None else "best"
    screen.notes(
        f"the {which} checkpoint has learned no more than this: {part}, {own.collapsed}"
        for part, own in (("validation", scores), ("test", test))
        if own and own.collapsed
    )
    run.write_json("result.json", result)
    show_result(screen, result, run)
    return result


def _no_best(trainer: Trainer) -> str:
    """Returns a line on a run without a best checkpoint."""
    name = trainer.monitor.name
    return (
        f"no checkpoint is the best: {name} or the loss was NaN at every evaluation; the figures are those of the last step, "
        f"and ftcli evaluate, predict and export need --checkpoint last"
    )


def _score_test(session: RunSession, trainer: Trainer, run: RunDir, screen: Screen) -> Scores | None:
    """Returns the scores of the test part; None where there is none, or none with labels."""
    table = session.tables.get("test")
    if table is None:
        return None
    if table.labels is None:
        screen.note("the test part has no labels: it is not scored; ftcli predict writes its predictions")
        return None
    scores = trainer.context.evaluator.score(session.built.model, table, keep=True)
    _save(session, trainer, run, "test", scores)
    return scores


def _save(session: RunSession, trainer: Trainer, run: RunDir, part: str, scores: Scores) -> None:
    path, rows = run.predictions / f"{part}.jsonl", getattr(session.inputs.splits, part)
    table = session.tables[part]
    save_predictions(path, trainer.context.evaluator, table, aligned(rows, table), scores)
    run.seal(f"predictions/{part}.jsonl", file_sha256(path))


def _result(
    composed: Composed,
    session: RunSession,
    trainer: Trainer,
    run: RunDir,
    scores: Scores,
    test: Scores | None,
) -> dict[str, Any]:
    """Returns what result.json holds; its first key is `metrics`, so that the figures are found at once."""
    state, plan, counts = trainer.state, session.built.plan, session.step_counts
    seconds = state.train_seconds
    return {
        "metrics": scores.figures,
        "version": 1,
        "run": run.path.name,
        "recipe": composed.config.recipe,
        "monitor": trainer.monitor.name,
        "best_step": state.best_step,
        "steps": state.step,
        "epochs": round(state.rows_seen / counts.rows, 4),
        "last": state.last_eval,
        "train": {
            "rows": counts.rows,
            "rows_per_step": counts.mean_rows,
            "rows_per_s": state.rows_seen / seconds if seconds else None,
            "tokens_per_s": state.tokens_seen / seconds if seconds else None,
        },
        "test": test.figures if test else None,
        "collapsed": scores.collapsed,
        "test_collapsed": test.collapsed if test else None,
        "wall_seconds": trainer.wall_seconds,
        "train_seconds": seconds,
        "trainable_parameters": _num_trained(session.built, state.phases),
        "total_parameters": plan.num_parameters,
        "skipped_steps": state.skipped_steps,
        "ended": _ended(composed, trainer),
        "phases": state.phases,
        "phases_never_begun": _never_began(trainer),
    }


def _num_trained(built: ModelAndPlan, phases: list[dict[str, Any]]) -> int:
    """Returns the parameters that trained: those of the phases that took steps, each tensor once."""
    began = {one["phase"] for one in phases if one["steps"]}
    names = {name for phase in built.plan.phases if phase.index in began for name in phase.trainable}
    return built.anatomy.numel(names)


def _never_began(trainer: Trainer) -> list[int]:
    """Returns the phases of the plan that the run did not come to."""
    began = {one["phase"] for one in trainer.state.phases}
    plan = trainer.context.plan
    return [phase.index for phase in plan.phases[plan.start_phase :] if phase.index not in began]


def _ended(composed: Composed, trainer: Trainer) -> str:
    """Returns what ended the run."""
    if trainer.state.phase_ended:
        return trainer.state.phase_ended
    return "max_steps" if trainer.state.step == composed.config.trainer.max_steps else "epochs"


def _equal(first: dict[str, float], second: dict[str, float]) -> bool:
    """Bit for bit, but a NaN equals a NaN: that is a score too, and no sign of damage."""
    return first.keys() == second.keys() and all(
        value == second[name] or math.isnan(value) and math.isnan(second[name])
        for name, value in first.items()
    )
