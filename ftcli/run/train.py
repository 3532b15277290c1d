"""A run from its words to its closing table: directory, objects, loop, scores of the best checkpoint.

Nothing is written before model, rows, tokenizer and plan are known to be good.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.config.compose import Composed
from ftcli.config.registry import lookup
from ftcli.config.saved import differences, render_config, restored
from ftcli.config.validate import problems_of
from ftcli.errors import CheckpointError, ConfigError, Problem, RunDirError
from ftcli.plan.plan import plan_differences
from ftcli.run import build
from ftcli.run.encode import describe_data, encode_parts, require_trainable_rows
from ftcli.run.run_dir import RunDir
from ftcli.run.tables import windows_hint
from ftcli.runtime import garbage_collection as collector
from ftcli.runtime.decide import Runtime, decide_runtime
from ftcli.runtime.environment import command_line, environment
from ftcli.runtime.profile_report import FOLDER, report, require_trace
from ftcli.runtime.timers import OFF, Clock, RunningClock, Section
from ftcli.storage.atomic import require_room

if TYPE_CHECKING:
    from ftcli.console.console import Screen
    from ftcli.trainer.evaluation import Scores
    from ftcli.trainer.trainer import Trainer

FREE = frozenset({
    "trainer.epochs", "trainer.max_steps", "trainer.log_every_n_steps", "trainer.eval_every_n_steps",
    "trainer.save_every_n_steps", "trainer.keep_checkpoints", "trainer.patience", "trainer.min_delta",
})  # fmt: skip
"""Keys a continued run may change: they move its end, its evaluations or its saves, not its steps."""


@dataclass(slots=True)
class Job:
    """The objects of one run, ready to fit."""

    composed: Composed
    inputs: build.RunInputs
    runtime: Runtime
    built: build.ModelAndPlan
    step_counts: build.StepCounts
    tables: dict[str, Any]
    run: RunDir
    trainer: Trainer


def check(composed: Composed, *, with_data: bool = True) -> None:
    """Raises ConfigError with every problem between fields, save what only concerns rows `with_data` false."""
    problems = [p for p in problems_of(composed.config) if with_data or not p.key.startswith("data")]
    problems += _two_sizes(composed)
    if problems:
        raise ConfigError(*problems)


def _two_sizes(composed: Composed) -> list[Problem]:
    """A batch size that was typed would do nothing beside a token budget; a recipe's own gives way."""
    budget = composed.config.trainer.token_budget
    if budget is None or composed.origins.get("trainer.batch_size") != "shell":
        return []
    message = f"trainer.token_budget={budget} decides how many rows a batch has"
    return [Problem("trainer.batch_size", message, "leave it out, or type trainer.token_budget=null")]


def start(
    composed: Composed, words: list[str], *, run_dir: Path | None, screen: Screen, clock: Clock = OFF
) -> dict[str, Any]:
    """Trains a new run and returns its result."""
    check(composed)
    target = RunDir.probe(composed.config.recipe, run_dir=run_dir)
    objects = _prepare(composed, screen, clock)
    inputs, runtime, built, step_counts, tables = objects
    _show_plan(screen, built, step_counts)
    require_room(target, build.checkpoint_bytes(built, composed.config))
    with RunDir.create(composed.config.recipe, run_dir=run_dir) as run:
        _write_plan(run, built)
        run.write_json("data.json", describe_data(inputs, tables) | {"batches": step_counts.record()})
        run.write_json("environment.json", environment(_decided(runtime)))
        run.write_text("command.txt", command_line("train", words) + "\n")
        run.write_text("config.yaml", render_config(composed))
        return _fit(composed, objects, run, screen, clock, resume=False)


def _write_plan(run: RunDir, built: build.ModelAndPlan) -> None:
    """Keeps the plan, and the schedule it came from, with the run."""
    run.write_json("plan.json", built.plan.to_json())
    if built.schedule is not None:
        run.write_text("schedule.yaml", built.schedule)


def resume(
    run: RunDir,
    words: list[str],
    screen: Screen,
    *,
    allowed: frozenset[str] = frozenset(),
    clock: Clock = OFF,
) -> dict[str, Any]:
    """Continues a run exactly where its newest intact checkpoint stands.

    Args:
        run: the run.
        words: changes of keys that move no step.
        screen: where lines go.
        allowed: roles whose changes are accepted besides, `freezing` alone.
        clock: times this session.
    """
    composed = restored(run.path / "config.yaml", words)
    _refuse(sorted(key for key in composed.changed - FREE if key.split(".")[0] not in allowed))
    return _continue(composed, run, screen, allowed, clock)


def resume_as(
    composed: Composed,
    run: RunDir,
    screen: Screen,
    *,
    allowed: frozenset[str] = frozenset(),
    clock: Clock = OFF,
) -> dict[str, Any]:
    """Continues the run in a directory with the words of `train --resume`; they must be the run's."""
    saved = restored(run.path / "config.yaml", [])
    if saved.config.choices != composed.config.choices:
        changed = [
            role for role, choice in saved.config.choices.items() if composed.config.choices[role] != choice
        ]
        _refuse(changed)
    changed = [key for key in differences(saved, composed) if key not in FREE]
    _refuse([key for key in changed if key.split(".")[0] not in allowed])
    return _continue(composed, run, screen, allowed, clock)


def _refuse(keys: list[str]) -> None:
    if keys:
        allowed = ", ".join(sorted(FREE))
        message = "this would change the run that is continued"
        hints = {True: "add --allow-change freezing", False: f"start a new run, or change only {allowed}"}
        raise ConfigError(*(Problem(key, message, hints[key.split(".")[0] == "freezing"]) for key in keys))


def _continue(
    composed: Composed, run: RunDir, screen: Screen, allowed: frozenset[str], clock: Clock
) -> dict[str, Any]:
    check(composed)
    with run.locked():
        old = restored(run.path / "config.yaml", [])
        changed = differences(old, composed)
        if run.is_finished() and not changed:
            screen.note(f"{run.path} is finished: nothing to resume")
            return json.loads(run.result_json.read_text(encoding="utf-8"))
        decided = json.loads(run.environment_json.read_text(encoding="utf-8"))["decisions"]
        objects = _prepare(composed, screen, clock, recorded=decided)
        _same_sources(run, describe_data(objects[0], objects[4]))
        plan_changed = _same_plan(run, objects[2], screen, allowed)
        require_room(run.path, build.checkpoint_bytes(objects[2], composed.config))
        if changed:
            screen.notes(f"{key} is now {value}" for key, value in changed.items())
            run.write_text("config.yaml", render_config(composed))
        if changed or plan_changed:
            run.result_json.unlink(missing_ok=True)
        return _fit(composed, objects, run, screen, clock, resume=True, changed_plan=plan_changed)


def _same_plan(run: RunDir, built: build.ModelAndPlan, screen: Screen, allowed: frozenset[str]) -> bool:
    """Compares the plan with the one the run began with; returns whether an allowed change was taken over.

    What a continued run may change anyway (patience, min_delta) is no change of the plan.
    """
    then = json.loads(run.plan_json.read_text(encoding="utf-8"))
    now = built.plan.to_json()
    lines = plan_differences(then, now)
    if not lines:
        return False
    if "freezing" not in allowed:
        hint = "add --allow-change freezing to go on with the new plan"
        raise ConfigError(*(Problem("freezing", line, hint) for line in lines[:5]))
    screen.notes(f"the plan changed: {line}" for line in lines)
    _write_plan(run, built)
    return True


def _decided(runtime: Runtime) -> dict[str, Any]:
    return {
        "device": runtime.device,
        "precision": runtime.precision,
        "attention": runtime.attention,
        "threads": runtime.threads,
        "fast_paths": runtime.fast_paths,
        "first_token": runtime.first_token,
    }


def _prepare(
    composed: Composed, screen: Screen, clock: Clock = OFF, recorded: dict[str, Any] | None = None
) -> tuple[Any, ...]:
    """Builds everything that can fail on a user's mistake, before anything is written."""
    config = composed.config
    screen.notes(composed.notes)
    with clock(Section.data):
        inputs = build.load_inputs(config)
        screen.notes(inputs.decisions)
        tables, lines = encode_parts(inputs)
        screen.notes([*lines, *windows_hint(tables["train"], config.trainer)])
    require_trainable_rows(tables)
    longest = max(table.longest for table in tables.values())
    runtime = decide_runtime(config, longest, recorded)
    screen.notes(runtime.decisions)
    with clock(Section.model):
        built = build.build_model(inputs, attention=runtime.attention)
    screen.notes(built.decisions)
    if recorded is None:
        with clock(Section.contract):
            _prove(inputs, tables, built, screen)
    step_counts = build.count_steps(config, len(tables["train"]), tables["train"])
    return inputs, runtime, built, step_counts, tables


def _prove(inputs: build.RunInputs, tables: dict[str, Any], built: build.ModelAndPlan, screen: Screen) -> None:
    """Proves the data contract, as `ftcli check-data` does; warnings are printed, an error ends the run."""
    from ftcli.run.data_checks.contract import check_contract
    from ftcli.run.data_checks.findings import Level, refuse

    findings = check_contract(inputs, tables, built.model).findings
    refuse(findings)
    screen.notes(f"{f.name}: {f.line}" for f in findings if f.level is Level.warning)
    proved = dict.fromkeys(f.name for f in findings if f.level is Level.fact)
    screen.note(f"data contract holds: {', '.join(proved)} (ftcli check-data shows all of it)")


def _save_predictions(job: Job, part: str, scores: Scores) -> None:
    from ftcli.inference.score import save_predictions

    path, rows = job.run.predictions / f"{part}.jsonl", getattr(job.inputs.splits, part)
    save_predictions(path, job.trainer.context.evaluator, job.tables[part], rows, scores)


def _show_plan(screen: Screen, built: build.ModelAndPlan, step_counts: build.StepCounts) -> None:
    from ftcli.run.tables import show_plan

    show_plan(screen, built.plan)
    screen.notes(step_counts.lines())


def _same_sources(run: RunDir, now: dict[str, Any]) -> None:
    """Refuses to continue on other rows, another tokenizer or other weights than the run began with."""
    then = json.loads(run.data_json.read_text(encoding="utf-8"))
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


def _fit(
    composed: Composed,
    objects: tuple[Any, ...],
    run: RunDir,
    screen: Screen,
    clock: Clock,
    *,
    resume: bool,
    changed_plan: bool = False,
) -> dict[str, Any]:
    from ftcli.checkpoint.store import CheckpointStore, open_checkpoint
    from ftcli.trainer.micro_batching import recorded_micro_batching
    from ftcli.trainer.signals import Interrupted, StopFlag

    inputs, runtime, built, step_counts, tables = objects
    folder = run.path / FOLDER
    if isinstance(clock, RunningClock):
        clock.watch(runtime.device, folder)
    screen.log_to(run.train_log)
    screen.num_phases = len(built.plan.phases)
    screen.heading(f"run {run.path}")
    with StopFlag() as stop:
        store = CheckpointStore(run.checkpoints, keep=composed.config.trainer.keep_checkpoints)
        checkpoint = store.latest() if resume else None
        screen.notes(store.messages)
        step, logged = (checkpoint.state["train"][name] if checkpoint else 0 for name in ("step", "events"))
        events = lookup("logger", composed.config.uses["logger"]).build(
            composed.config.logger,
            metrics_path=run.metrics_jsonl,
            tensorboard_dir=run.tensorboard,
            resume_step=step if resume else None,
            resume_events=logged if resume else None,
        )
        try:
            with clock(Section.building):
                trainer = build.build_trainer(composed.config, inputs, runtime, built, step_counts, tables, store=store,
                                              events=events, reporter=screen, stop=stop, clock=clock,
                                              micro_batching=recorded_micro_batching(composed.config.trainer, run.pieces_json))  # fmt: skip
                if checkpoint is not None:
                    trainer.restore(checkpoint, changed_plan=changed_plan)
            if checkpoint is not None:
                _say_curve(trainer, screen)
            elif built.start_from is not None:
                begun = open_checkpoint(Path(built.start_from))
                trainer.begin_from(begun.load("model"))
                screen.note(f"weights of {begun.path}; phase {trainer.state.phase} begins at step 0")
            if resume:
                screen.note(f"continuing at step {step} of {trainer.total_steps}")
            collector.restore()
            trainer.fit()
            job = Job(composed, inputs, runtime, built, step_counts, tables, run, trainer)
            with clock(Section.closing):
                result = _close(job, screen)
            if isinstance(clock, RunningClock):
                result["profile"] = report(clock, folder, screen)
                require_trace(clock)
            return result
        except Interrupted as stopped:
            if isinstance(clock, RunningClock):
                report(clock, folder, screen)
            screen.note(f"stopped by {stopped}; the state is saved. Continue with: ftcli resume {run.path}")
            raise
        finally:
            screen.close()
            events.close()


def _say_curve(trainer: Trainer, screen: Screen) -> None:
    """A resume that changes the length of the lr curve says so."""
    before, now = trainer.state.curve_steps, trainer.curve_length
    if before != now:
        screen.note(
            f"the lr curve was {before} steps long and is now {now}: the lr of the coming steps changes; "
            f"scheduler.total_steps={before} would have pinned it"
        )


def _equal(first: dict[str, float], second: dict[str, float]) -> bool:
    """Bit for bit, but a NaN equals a NaN: that is a score too, and no sign of damage."""
    return first.keys() == second.keys() and all(
        value == second[name] or math.isnan(value) and math.isnan(second[name])
        for name, value in first.items()
    )


def _ended(job: Job) -> str:
    """Returns what ended the run."""
    if job.trainer.state.phase_ended:
        return job.trainer.state.phase_ended
    return "max_steps" if job.trainer.state.step == job.composed.config.trainer.max_steps else "epochs"


def _close(job: Job, screen: Screen) -> dict[str, Any]:
    """Scores the best checkpoint where that was not the last thing done, saves predictions and result.json, prints the table."""
    trainer, run, state = job.trainer, job.run, job.trainer.state
    trainer.end_phase()
    evaluator = trainer.context.evaluator
    scores, same_way = trainer.score_best()
    _save_predictions(job, "validation", scores)
    if same_way and not _equal(scores.figures, state.best_eval):
        best = trainer.context.store.find("best")
        raise CheckpointError(
            Problem(str(best.path), f"scores {scores.figures} on reload, {state.best_eval} in training")
        )
    test = None
    if "test" in job.tables and job.tables["test"].labels is not None:
        tested = evaluator.score(job.built.model, job.tables["test"], keep=True)
        _save_predictions(job, "test", tested)
        test = tested.figures
    elif "test" in job.tables:
        screen.note("the test part has no labels: it is not scored; ftcli predict writes its predictions")
    plan = job.built.plan
    result = {
        "metrics": scores.figures,
        "version": 1,
        "run": run.path.name,
        "recipe": job.composed.config.recipe,
        "monitor": trainer.monitor.name,
        "best_step": state.best_step,
        "steps": state.step,
        "epochs": round(state.rows_seen / job.step_counts.rows, 4),
        "last": state.last_eval,
        "train": {"rows": job.step_counts.rows, "rows_per_step": job.step_counts.mean_rows, "rows_per_s": state.rows_seen / state.train_seconds if state.train_seconds else None,
                  "tokens_per_s": state.tokens_seen / state.train_seconds if state.train_seconds else None},
        "test": test,
        "wall_seconds": trainer.wall_seconds,
        "train_seconds": state.train_seconds,
        "trainable_parameters": plan.num_trainable_parameters,
        "total_parameters": plan.num_parameters,
        "skipped_steps": state.skipped_steps,
        "ended": _ended(job),
        "phases": state.phases,
    }  # fmt: skip
    run.write_json("result.json", result)
    from ftcli.run.tables import show_result

    show_result(screen, result, run)
    return result
