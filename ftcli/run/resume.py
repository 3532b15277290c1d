"""A run continued exactly where its newest intact checkpoint stands."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from ftcli.config.check import check
from ftcli.config.compose import Composed, names_of_a_run
from ftcli.config.fields import OnResume
from ftcli.config.saved import differences, render_config, restored, tag_of
from ftcli.errors import ConfigError, Problem, RunDirError
from ftcli.plan.differences import plan_differences
from ftcli.run.encode import describe_data
from ftcli.run.model import ModelAndPlan, checkpoint_bytes
from ftcli.run.run_dir import RunDir
from ftcli.run.session import Notes, RunSession, no_notes
from ftcli.run.train import finish, record_plan, training
from ftcli.runtime.timers import OFF, Clock
from ftcli.storage.disk import explained, require_room
from ftcli.storage.run_files import read_record

if TYPE_CHECKING:
    from ftcli.console.console import Screen
    from ftcli.plan.plan import Plan

BEGINNING = ("freezing.start_phase", "freezing.start_from")
"""Keys that say how a run begins: nothing comes of a change once it has a checkpoint."""


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
    require_same_run(run, composed, allowed)
    return _continue(composed, run, screen, allowed, clock)


def require_same_run(run: RunDir, composed: Composed, allowed: frozenset[str] = frozenset()) -> None:
    """Refuses words that would make a run, or the parent of several, another one than its config.yaml describes.

    Raises:
        ConfigError: names every such key.
    """
    saved = restored(run.path / "config.yaml", [])
    before = saved.config.choices
    swapped = [role for role, choice in composed.config.choices.items() if before[role] != choice]
    if swapped:
        hint = "a run keeps its choices: start a new run with ftcli train"
        raise ConfigError(
            *(Problem(role, f"is {before[role]} in the run that is continued", hint) for role in swapped)
        )
    accepted_changes(saved, composed, allowed)


def accepted_changes(saved: Composed, composed: Composed, allowed: frozenset[str]) -> dict[str, Any]:
    """Returns dotted key -> new value of the changes that a continued run takes over; each field's tag says which.

    Args:
        saved: what the run has.
        composed: what is asked for, of the same choices.
        allowed: roles of `--allow-change`.

    Raises:
        ConfigError: names every key whose change would make it another run.
    """
    changed = differences(saved, composed)
    tags = {key: tag_of(saved.config, key) for key in changed}
    problems = []
    for key, tag in tags.items():
        role = key.partition(".")[0]
        if tag is OnResume.recorded or (tag is OnResume.allow_change and role in allowed):
            continue
        hint = f"add --allow-change {role}" if tag is OnResume.allow_change else _hint(saved)
        problems.append(Problem(key, "this would change the run that is continued", hint))
    if problems:
        raise ConfigError(*problems)
    return changed


def _hint(saved: Composed) -> str:
    keys = (f"trainer.{one.name}" for one in dataclasses.fields(saved.config.trainer))
    free = [key for key in keys if tag_of(saved.config, key) is OnResume.recorded]
    return f"start a new run, or change only {', '.join(sorted(free))}"


def _require_effect(run: RunDir, changed: dict[str, Any], plan: Plan) -> None:
    """Refuses changes that are accepted elsewhere, and would be without effect here or reach into the steps.

    Raises:
        ConfigError: the beginning of a run that has begun; the evaluations of a run whose lr follows their scores.
    """
    problems = []
    if any(run.checkpoints.glob("step-*")):
        message = "says how a run begins, and this one has begun"
        problems += [
            Problem(key, message, "leave it out, or start a new run") for key in BEGINNING if key in changed
        ]
    key = "trainer.eval_every_n_steps"
    if key in changed and any(phase.scheduler.uses == "plateau" for phase in plan.phases):
        message = "scheduler=plateau lowers the lr by the scores: other evaluations would change the steps"
        problems.append(Problem(key, message, "leave it out, or start a new run"))
    if problems:
        raise ConfigError(*problems)


def _continue(
    composed: Composed, run: RunDir, screen: Screen, allowed: frozenset[str], clock: Clock
) -> dict[str, Any]:
    """Builds the run again, compares it with what it began with, and trains on."""
    check(composed)
    with run.locked():
        # Read again under the lock: another process may have changed and continued the run just before.
        changed = accepted_changes(restored(run.path / "config.yaml", []), composed, allowed)
        if run.is_finished() and not changed:
            screen.note(f"{run.path} is finished: nothing to resume")
            return read_record(run.result_json)
        # All that the run recorded is read before anything is built: what is damaged is said at once.
        decided = read_record(run.environment_json)["decisions"]
        plan, data = read_record(run.plan_json), read_record(run.data_json)
        if os.path.lexists(run.pieces_json):
            read_record(run.pieces_json)
        session = continued_session(composed, data, decided, notes=screen.notes, clock=clock)
        screen.notes(composed.notes)
        built = session.built
        _require_effect(run, changed, built.plan)
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


def continued_session(
    composed: Composed,
    data: dict[str, Any],
    decided: dict[str, Any],
    *,
    notes: Notes = no_notes,
    clock: Clock = OFF,
    with_rows: bool = True,
) -> RunSession:
    """Returns the objects of a run that began before, as it began.

    Args:
        composed: its configuration.
        data: of its data.json.
        decided: the decisions of its environment.json.
        notes: is given the decisions of each stage.
        clock: times the stages.
        with_rows: False where tokenizer and model are enough.
    """
    return RunSession(
        composed.config,
        notes=notes,
        with_rows=with_rows,
        learned=data.get("task", {}),
        recorded=decided,
        only_cached=names_of_a_run(composed),
        clock=clock,
    )


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
