"""A run continued exactly where its newest intact checkpoint stands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ftcli.config.check import check
from ftcli.config.compose import Composed
from ftcli.config.saved import differences, render_config, restored
from ftcli.errors import ConfigError, Problem, RunDirError
from ftcli.plan.differences import plan_differences
from ftcli.run.encode import describe_data
from ftcli.run.model import ModelAndPlan, checkpoint_bytes
from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.run.train import finish, record_plan, training
from ftcli.runtime.timers import OFF, Clock
from ftcli.storage.atomic import explained, require_room
from ftcli.storage.run_files import read_record

if TYPE_CHECKING:
    from ftcli.console.console import Screen

FREE = frozenset({
    "trainer.epochs", "trainer.max_steps", "trainer.log_every_n_steps", "trainer.eval_every_n_steps",
    "trainer.save_every_n_steps", "trainer.keep_checkpoints", "trainer.patience", "trainer.min_delta",
})  # fmt: skip
"""Keys a continued run may change: they move its end, its evaluations or its saves, not its steps."""


def resume(
    run: RunDir,
    overrides: list[str],
    screen: Screen,
    *,
    allowed: frozenset[str] = frozenset(),
    clock: Clock = OFF,
) -> dict[str, Any]:
    """Continues a run with its own configuration.

    Args:
        run: the run.
        overrides: changes of keys that move no step.
        screen: where lines go.
        allowed: roles whose changes are accepted besides, `freezing` alone.
        clock: times the command.

    Raises:
        ConfigError: a change that would make it another run.
    """
    composed = restored(run.path / "config.yaml", overrides)
    return resume_as(composed, run, screen, allowed=allowed, clock=clock)


def resume_as(
    composed: Composed,
    run: RunDir,
    screen: Screen,
    *,
    allowed: frozenset[str] = frozenset(),
    clock: Clock = OFF,
) -> dict[str, Any]:
    """Continues the run in a directory with the words of `train --resume`; they must be the run's.

    Raises:
        ConfigError: a word that would make it another run.
    """
    saved = restored(run.path / "config.yaml", [])
    before = saved.config.choices
    _refuse([role for role, choice in composed.config.choices.items() if before[role] != choice])
    changed = [key for key in differences(saved, composed) if key not in FREE]
    _refuse([key for key in changed if key.split(".")[0] not in allowed])
    return _continue(composed, run, screen, allowed, clock)


def _refuse(keys: list[str]) -> None:
    """Raises ConfigError naming every key whose change would make it another run."""
    if keys:
        allowed = ", ".join(sorted(FREE))
        message = "this would change the run that is continued"
        hints = {True: "add --allow-change freezing", False: f"start a new run, or change only {allowed}"}
        raise ConfigError(*(Problem(key, message, hints[key.split(".")[0] == "freezing"]) for key in keys))


def _continue(
    composed: Composed, run: RunDir, screen: Screen, allowed: frozenset[str], clock: Clock
) -> dict[str, Any]:
    """Builds the run again, compares it with what it began with, and trains on."""
    check(composed)
    with run.locked():
        # Read again under the lock: another process may have changed and continued the run just before.
        changed = differences(restored(run.path / "config.yaml", []), composed)
        if run.is_finished() and not changed:
            screen.note(f"{run.path} is finished: nothing to resume")
            return read_record(run.result_json)
        # All that the run recorded is read before anything is built: what is damaged is said at once.
        decided = read_record(run.environment_json)["decisions"]
        plan, data = read_record(run.plan_json), read_record(run.data_json)
        if os.path.lexists(run.pieces_json):
            read_record(run.pieces_json)
        session = RunSession(composed.config, notes=screen.notes, recorded=decided, clock=clock)
        screen.notes(composed.notes)
        built = session.built
        _same_sources(data, describe_data(session.inputs, session.tables))
        plan_changed = _same_plan(run, plan, built, screen, allowed)
        require_room(run.path, checkpoint_bytes(built, composed.config))
        if changed:
            screen.notes(f"{key} is now {value}" for key, value in changed.items())
            run.write_text("config.yaml", render_config(composed))
        if changed or plan_changed:
            with explained(run.result_json):
                run.result_json.unlink(missing_ok=True)
        with training(composed, session, run, screen, resume=True, changed_plan=plan_changed) as trainer:
            trainer.fit()
            return finish(composed, session, trainer, run, screen)


def _same_plan(
    run: RunDir, then: dict[str, Any], built: ModelAndPlan, screen: Screen, allowed: frozenset[str]
) -> bool:
    """Compares the plan with the one the run began with; returns whether an allowed change was taken over.

    What a continued run may change anyway (patience, min_delta) is no change of the plan.
    """
    lines = plan_differences(then, built.plan.to_json())
    if not lines:
        return False
    if "freezing" not in allowed:
        hint = "add --allow-change freezing to go on with the new plan"
        raise ConfigError(*(Problem("freezing", line, hint) for line in lines[:5]))
    screen.notes(f"the plan changed: {line}" for line in lines)
    record_plan(run, built)
    return True


def _same_sources(then: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses to continue on other rows, another tokenizer or other weights than the run began with."""
    for name, part in then["parts"].items():
        if now["parts"].get(name, {}).get("sha256") != part["sha256"]:
            raise RunDirError(
                Problem(part["origin"], f"the {name} rows changed since the run began", "start a new run")
            )
    for name in ("tokenizer", "model"):
        if then[name]["fingerprint"] != now[name]["fingerprint"]:
            raise RunDirError(
                Problem(now["model"]["origin"], f"the {name} changed since the run began", "start a new run")
            )
