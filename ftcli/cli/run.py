"""ftcli train, ftcli resume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftcli.cli.options import Allow, Json, Profile, Quiet, Run, Words

if TYPE_CHECKING:
    from ftcli.runtime.timers import Clock


def train(
    context: typer.Context,
    words: Words = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            help="The run directory itself. Default: runs/<recipe>/<time>-<id>, runs/own/... without a recipe.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --run-dir, or start it when there is none.")
    ] = False,
    allow_change: Allow = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check everything, print the plan, paths and step counts, write nothing."
        ),
    ] = False,
    profile: Profile = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a recipe; with no words at all, the bundled quickstart.

    Example: ftcli train recipe=sst2-lora model=minilm data.path=DIR optimizer.lr=5e-4
    """
    from ftcli.config.compose import load
    from ftcli.console.console import Screen
    from ftcli.errors import ConfigError, Problem
    from ftcli.runtime.timers import Section

    clock = _clock(context, profile)
    with clock(Section.imports):
        composed = load(words or [])
    screen = Screen(quiet=quiet, as_json=as_json)
    if resume and run_dir is None:
        raise ConfigError(
            Problem(
                "--resume", "needs the directory to continue", "add --run-dir DIR, or type ftcli resume last"
            )
        )
    if profile:
        _require_one_run(composed.config.seeds, dry_run)
    if dry_run:
        from ftcli.diagnostics.dry_run import dry_run as rehearse

        screen.result(rehearse(composed, run_dir, screen))
        return
    from ftcli.run.resume import resume_as
    from ftcli.run.run_dir import RunDir
    from ftcli.run.train import start
    from ftcli.sweep.seeds import resume_seeds, train_seeds

    # Each function is called from here, so that few frames lie between a command and the model.
    with _exit_code_of_signal():
        existing = RunDir.existing(run_dir) if resume and run_dir is not None else None
        if existing is not None and composed.config.seeds:
            result = resume_seeds(composed, existing, screen)
        elif existing is not None:
            result = resume_as(composed, existing, screen, allowed=_allowed(allow_change), clock=clock)
        elif composed.config.seeds:
            result = train_seeds(composed, words or [], run_dir=run_dir, screen=screen)
        else:
            result = start(composed, words or [], run_dir=run_dir, screen=screen, clock=clock)
        screen.result(result)


def resume(
    context: typer.Context,
    run: Run,
    words: Words = None,
    allow_change: Allow = None,
    profile: Profile = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Continue a run exactly where it stopped.

    Example: ftcli resume last          ftcli resume last trainer.epochs=5
    """
    from ftcli.config.saved import restored
    from ftcli.console.console import Screen
    from ftcli.run.resume import resume as continue_run
    from ftcli.run.run_dir import RunDir
    from ftcli.runtime.timers import Section
    from ftcli.sweep.seeds import resume_seeds

    clock = _clock(context, profile)
    screen = Screen(quiet=quiet, as_json=as_json)
    found = RunDir.find(run)
    with clock(Section.imports):
        saved = restored(found.config_yaml, words or [])
    if profile:
        _require_one_run(saved.config.seeds, False)
    with _exit_code_of_signal():
        if saved.config.seeds:
            result = resume_seeds(saved, found, screen)
        else:
            result = continue_run(found, words or [], screen, allowed=_allowed(allow_change), clock=clock)
        screen.result(result)


def _clock(context: typer.Context, profile: bool) -> Clock:
    """Returns what times this command, from the beginning of its process."""
    from ftcli.runtime.timers import OFF, RunningClock

    if not profile:
        return OFF
    clock = RunningClock(context.obj)
    clock.import_libraries()
    return clock


def _require_one_run(seeds: list[int], dry_run: bool) -> None:
    """Refuses to profile what trains nothing, or several runs at once."""
    from ftcli.errors import ConfigError, Problem

    if dry_run:
        raise ConfigError(Problem("--profile", "--dry-run trains nothing", "leave one of the two out"))
    if seeds:
        message = f"looks at one run, and this trains {len(seeds)}"
        raise ConfigError(Problem("--profile", message, f"type seed={seeds[0]} instead of the seeds"))


def _allowed(roles: list[str] | None) -> frozenset[str]:
    from ftcli.errors import ConfigError, Problem

    for role in roles or []:
        if role != "freezing":
            raise ConfigError(
                Problem(f"--allow-change {role}", "only freezing may change", "--allow-change freezing")
            )
    return frozenset(roles or [])


@contextmanager
def _exit_code_of_signal() -> Iterator[None]:
    """A signal ends a training command with 128 + its number, after the state was saved."""
    from ftcli.trainer.signals import Interrupted

    try:
        yield
    except Interrupted as stopped:
        raise typer.Exit(stopped.exit_code) from None
