"""What overfit-batch and generate-schedule build: from a configuration to a verdict or a schedule."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ftcli.config.check import check
from ftcli.config.compose import Composed
from ftcli.config.schema import RunConfig, Weights
from ftcli.run.meta import build_meta_model
from ftcli.run.model import ModelAndPlan
from ftcli.run.session import RunSession
from ftcli.runtime import garbage_collection as collector

if TYPE_CHECKING:
    from ftcli.console.console import Screen
    from ftcli.diagnostics.overfit import Verdict

MAX_VALIDATION_ROWS = 256


def run_overfit(composed: Composed, output: Path, screen: Screen) -> Verdict:
    """Builds the run's objects, fits its first batch, draws the curves and prints the verdict.

    Args:
        composed: the configuration.
        output: PNG of both curves.
        screen: where progress and verdict are printed.

    Raises:
        FtcliError: whatever would stop the run before its first step; a batch that is not fitted is a verdict.
    """
    from ftcli.diagnostics.overfit import MAX_STEPS, nothing_trains, overfit, silent
    from ftcli.inference.output_file import require_picture
    from ftcli.trainer.micro_batch_search import find_micro_batch_size
    from ftcli.trainer.signals import StopFlag

    check(composed)
    require_picture(output)
    data = composed.config.data
    rows_shown = min(data.limit_validation or MAX_VALIDATION_ROWS, MAX_VALIDATION_ROWS)
    config = dataclasses.replace(
        composed.config,
        data=dataclasses.replace(data, limit_validation=rows_shown),
        trainer=dataclasses.replace(composed.config.trainer, max_steps=MAX_STEPS, epochs=MAX_STEPS),
    )
    screen.notes(composed.notes)
    session = RunSession(config, notes=screen.notes, allow_empty=True)
    built = session.built
    if not built.plan.phases[0].trainable:
        return _report(nothing_trains(), output, screen)
    with StopFlag() as stop:
        trainer = session.trainer(store=None, events=silent(), reporter=silent(), stop=stop)
        find_micro_batch_size(trainer)
        trainer.objects.lr_lambda = lambda step: 1.0
        collector.restore()
        rows = trainer.epochs.batches(config.seed, epoch=0)[0]
        screen.note(f"one batch of {len(rows)} rows, at most {MAX_STEPS} steps at a constant lr")
        try:
            verdict = overfit(trainer, rows, _head_or_fresh(config, built), screen=screen)
        finally:
            screen.close()
    return _report(verdict, output, screen)


def _head_or_fresh(config: RunConfig, built: ModelAndPlan) -> frozenset[str]:
    """Returns the tensors that must train because they are new; where all weights are random, the head's."""
    if config.model.weights is Weights.random:
        return frozenset(built.anatomy.head.tensors)
    return built.fresh


def _report(verdict: Verdict, output: Path, screen: Screen) -> Verdict:
    """Draws and prints a verdict."""
    from ftcli.diagnostics.loss_curves import draw, terminal_lines
    from ftcli.inference.output_file import drawing

    if verdict.batch_curve:
        with drawing(output):
            draw(verdict, output)
        screen.notes(terminal_lines(verdict))
    for diagnosis in verdict.diagnoses:
        screen.notes([f"{diagnosis.name}: {diagnosis.text}", f"  -> {diagnosis.hint}"])
    word = "PASS" if verdict.passed else "FAIL"
    curves = f"; curves in {output}" if verdict.batch_curve else ""
    accuracy = "" if verdict.accuracy is None else f", accuracy {verdict.accuracy:.1%}"
    screen.heading(f"{word}: loss {verdict.loss:.4f} (floor {verdict.floor:.4f}){accuracy} "
                   f"after {verdict.steps} steps{curves}")  # fmt: skip
    return verdict


def schedule_text(composed: Composed, *, by: str, phases: int | None) -> str:
    """Returns the default unfreezing schedule as YAML, from config.json alone.

    Args:
        composed: the configuration.
        by: `block`, `depth` or `pair`: what one phase unfreezes.
        phases: merge neighbours into this many phases; None: as many as there are.
    """
    from ftcli.plan.anatomy import read_anatomy
    from ftcli.plan.from_config import scaled_lr
    from ftcli.plan.schedule import write_schedule

    check(composed, with_data=False)
    model = build_meta_model(composed.config)
    return write_schedule(read_anatomy(model), scaled_lr(composed.config), by=by, phases=phases)
