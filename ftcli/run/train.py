"""A new run: built and checked in memory, then recorded in its directory, trained and closed.

Nothing is written before model, rows, tokenizer and plan are known to be good.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.config.check import check
from ftcli.config.command_line import command_line
from ftcli.config.compose import Composed
from ftcli.config.registry import lookup
from ftcli.config.saved import render_config
from ftcli.errors import typed_words
from ftcli.run.encode import describe_data
from ftcli.run.event_log import EventsSeal, Unfailing
from ftcli.run.model import ModelAndPlan, checkpoint_bytes
from ftcli.run.result import close_run
from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.run.steps import out_of_reach
from ftcli.run.tables import show_plan
from ftcli.runtime import garbage_collection
from ftcli.runtime.environment import environment
from ftcli.runtime.profile_report import FOLDER, report, require_trace
from ftcli.runtime.timers import OFF, Clock, RunningClock, Section
from ftcli.storage.disk import require_room
from ftcli.storage.event_lines import repair

if TYPE_CHECKING:
    from ftcli.checkpoint.checkpoint import Checkpoint
    from ftcli.console.console import Screen
    from ftcli.trainer.trainer import Trainer


def start(
    composed: Composed, overrides: list[str], *, run_dir: Path | None, screen: Screen, clock: Clock = OFF
) -> dict[str, Any]:
    """Trains a new run and returns its result.

    Args:
        composed: the configuration.
        overrides: the shell words it came from, for command.txt.
        run_dir: the run directory itself; None: under ./runs.
        screen: where lines go.
        clock: times the command.
    """
    check(composed)
    target = RunDir.probe(composed.config.recipe, run_dir=run_dir)
    session = RunSession(composed.config, notes=screen.notes, clock=clock)
    screen.notes(composed.notes)
    built = session.built
    with clock(Section.contract):
        _prove(session, screen)
    counts = session.require_steps()
    show_plan(screen, built.plan)
    screen.notes(
        [*counts.lines(), *out_of_reach(built.plan, counts, composed.config.trainer.eval_every_n_steps)]
    )
    require_room(target, checkpoint_bytes(built, composed.config))
    with RunDir.create(composed.config.recipe, run_dir=run_dir) as run:
        _record(run, session, composed, overrides)
        with training(composed, session, run, screen) as trainer:
            trainer.fit()
            return finish(composed, session, trainer, run, screen)


def _prove(session: RunSession, screen: Screen) -> None:
    """Proves the data contract, as `ftcli check-data` does; warnings are printed, an error ends the run."""
    from ftcli.run.data_checks.findings import Level, refuse

    findings = session.check_contract().findings
    refuse(findings)
    screen.notes(f"{f.name}: {f.line}" for f in findings if f.level is Level.warning)
    proved = dict.fromkeys(f.name for f in findings if f.level is Level.fact)
    screen.note(f"data contract holds: {', '.join(proved)} (ftcli check-data shows all of it)")


def _record(run: RunDir, session: RunSession, composed: Composed, overrides: list[str]) -> None:
    """Writes what the run stands on; config.yaml last, for a folder without it is no run."""
    record_plan(run, session.built)
    batches = {"batches": session.step_counts.record()}
    run.write_json("data.json", describe_data(session.inputs, session.tables) | batches)
    run.write_json("environment.json", environment(session.runtime.record()))
    run.write_text("command.txt", command_line("train", overrides) + "\n")
    run.write_text("config.yaml", render_config(composed))


def record_plan(run: RunDir, built: ModelAndPlan) -> None:
    """Keeps the plan, and the schedule it came from, with the run."""
    run.write_json("plan.json", built.plan.to_json())
    if built.schedule is not None:
        run.write_text("schedule.yaml", built.schedule)


@contextmanager
def training(
    composed: Composed, session: RunSession, run: RunDir, screen: Screen, *, resume: bool = False, changed_plan: bool = False
) -> Iterator[Trainer]:  # fmt: skip
    """Yields the run's trainer, standing where the run stands; signals, loggers and the profile end with the block.

    Args:
        composed: the configuration.
        session: its objects.
        run: where checkpoints and metrics go.
        screen: where lines go.
        resume: continue at the newest intact checkpoint.
        changed_plan: the plan is not the one the run began with.

    Raises:
        Interrupted: a signal came; the state was saved at the last applied step.
    """
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.trainer.micro_batch_search import find_micro_batch_size
    from ftcli.trainer.micro_batching import recorded_micro_batching
    from ftcli.trainer.signals import Interrupted, StopFlag

    clock, profile = session.clock, run.path / FOLDER
    if isinstance(clock, RunningClock):
        clock.watch(session.runtime.device, profile)
    screen.log_to(run.train_log)
    screen.num_phases = len(session.built.plan.phases)
    screen.heading(f"run {run.path}")
    with StopFlag() as stop:
        store = CheckpointStore(run.checkpoints, keep=composed.config.trainer.keep_checkpoints)
        store.about = EventsSeal(run.metrics_jsonl)
        checkpoint = store.latest() if resume else None
        screen.notes(store.messages)
        events = _logger(composed, run, checkpoint, screen, resume=resume)
        try:
            with clock(Section.building):
                splits = recorded_micro_batching(composed.config.trainer, run.pieces_json)
                trainer = session.trainer(store=store, events=events, reporter=screen, stop=stop, micro_batching=splits)  # fmt: skip
                if checkpoint is not None:
                    trainer.restore(checkpoint, changed_plan=changed_plan)
            _announce(session, trainer, checkpoint, screen, resume=resume)
            garbage_collection.restore()
            with clock(Section.building):
                find_micro_batch_size(trainer)
            yield trainer
        except Interrupted as stopped:
            if isinstance(clock, RunningClock):
                report(clock, profile, screen)
            saved = "the state is saved" if any(run.checkpoints.glob("step-*")) else "no step was taken yet"
            screen.note(f"stopped by {stopped}; {saved}. Continue with: ftcli resume {typed_words(run.path)}")
            raise
        finally:
            screen.close()
            events.close()


def _logger(
    composed: Composed, run: RunDir, checkpoint: Checkpoint | None, screen: Screen, *, resume: bool
) -> Unfailing:
    """Returns the logger role's object; a resume drops the events that came after the checkpoint."""
    step, logged = (checkpoint.counter(name) if checkpoint else 0 for name in ("step", "events"))

    def make() -> Any:
        if resume:
            screen.notes(repair(run.metrics_jsonl, logged))
        return lookup("logger", composed.config.uses["logger"]).build(
            composed.config.logger,
            metrics_path=run.metrics_jsonl,
            tensorboard_dir=run.tensorboard,
            resume_step=step if resume else None,
            resume_events=logged if resume else None,
        )

    return Unfailing(make, screen.note)


def _announce(
    session: RunSession, trainer: Trainer, checkpoint: Checkpoint | None, screen: Screen, *, resume: bool
) -> None:
    """Says where the run goes on; a run that starts from another one's weights takes them here."""
    from ftcli.checkpoint.checkpoint import open_checkpoint

    if checkpoint is not None:
        _announce_curve(trainer, screen)
    elif session.built.start_from is not None:
        begun = open_checkpoint(Path(session.built.start_from))
        trainer.begin_from(begun.load("model"))
        screen.note(f"weights of {begun.path}; phase {trainer.state.phase} begins at step 0")
    if resume:
        screen.note(f"continuing at step {trainer.state.step} of {trainer.total_steps}")


def _announce_curve(trainer: Trainer, screen: Screen) -> None:
    """A resume that changes the length of the lr curve says so."""
    before, now = trainer.state.curve_steps, trainer.position.curve_steps
    if before != now:
        screen.note(
            f"the lr curve was {before} steps long and is now {now}: the lr of the coming steps changes; "
            f"scheduler.total_steps={before} would have pinned it"
        )


def finish(
    composed: Composed, session: RunSession, trainer: Trainer, run: RunDir, screen: Screen
) -> dict[str, Any]:
    """Closes a run whose training is over; with --profile its result holds the profile."""
    clock = session.clock
    with clock(Section.closing):
        result = close_run(composed, session, trainer, run, screen)
    if isinstance(clock, RunningClock):
        result["profile"] = report(clock, run.path / FOLDER, screen)
        require_trace(clock)
    return result
