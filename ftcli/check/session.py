"""What overfit-batch and generate-schedule build, from words to verdict."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ftcli import build, collector
from ftcli.compose import Composed
from ftcli.config import RunConfig, Weights
from ftcli.encoding import encode_parts, require_trainable_rows
from ftcli.paper import draw_bare
from ftcli.runtime import decide_runtime
from ftcli.training import check

if TYPE_CHECKING:
    from ftcli.check.overfit import Verdict
    from ftcli.screen import Screen

MAX_VALIDATION_ROWS = 256


def run_overfit(composed: Composed, output: Path, screen: Screen) -> Verdict:
    """Builds the run's objects, fits its first batch, draws the curves and prints the verdict."""
    from ftcli.check.overfit import MAX_STEPS, nothing_trains, overfit, silent
    from ftcli.rundir import require_writable
    from ftcli.trainer.fitting import settle
    from ftcli.trainer.signals import StopFlag

    check(composed)
    require_writable(output)
    data = composed.config.data
    rows_shown = min(data.limit_validation or MAX_VALIDATION_ROWS, MAX_VALIDATION_ROWS)
    config = dataclasses.replace(
        composed.config,
        data=dataclasses.replace(data, limit_validation=rows_shown),
        trainer=dataclasses.replace(composed.config.trainer, max_steps=MAX_STEPS, epochs=MAX_STEPS),
    )
    screen.notes(composed.notes)
    ground = build.lay_ground(config)
    screen.notes(ground.decisions)
    tables, lines = encode_parts(ground)
    screen.notes(lines)
    require_trainable_rows(tables)
    runtime = decide_runtime(config, max(table.longest for table in tables.values()))
    blueprint = build.draw(ground, attention=runtime.attention, allow_empty=True)
    screen.notes([*runtime.decisions, *blueprint.decisions])
    arithmetic = build.count_steps(config, len(tables["train"]), tables["train"])
    if not blueprint.plan.phases[0].trainable:
        return _told(nothing_trains(), output, screen)
    with StopFlag() as stop:
        trainer = build.build_trainer(config, ground, runtime, blueprint, arithmetic, tables,
                                      store=None, events=silent(), reporter=silent(), stop=stop)  # fmt: skip
        settle(trainer)
        trainer.factor = lambda step: 1.0
        collector.restore()
        rows = trainer.epochs.batches(config.seed, epoch=0)[0]
        screen.note(f"one batch of {len(rows)} rows, at most {MAX_STEPS} steps at a constant lr")
        try:
            verdict = overfit(trainer, rows, _head_or_fresh(config, blueprint), screen=screen)
        finally:
            screen.close()
    return _told(verdict, output, screen)


def _head_or_fresh(config: RunConfig, blueprint: build.Blueprint) -> frozenset[str]:
    """Returns what must train because it is new: with random weights everything is, and only the head counts."""
    if config.model.weights is Weights.random:
        return frozenset(blueprint.anatomy.head.tensors)
    return blueprint.fresh


def _told(verdict: Verdict, output: Path, screen: Screen) -> Verdict:
    """Draws and prints a verdict."""
    from ftcli.check.curves import draw, terminal_lines

    if verdict.batch_curve:
        output.parent.mkdir(parents=True, exist_ok=True)
        draw(verdict, output)
        screen.notes(terminal_lines(verdict))
    for diagnosis in verdict.diagnoses:
        screen.note(f"{diagnosis.name}: {diagnosis.text}\n  -> {diagnosis.hint}")
    word = "PASS" if verdict.passed else "FAIL"
    curves = f"; curves in {output}" if verdict.batch_curve else ""
    accuracy = "" if verdict.accuracy is None else f", accuracy {verdict.accuracy:.1%}"
    screen.heading(f"{word}: loss {verdict.loss:.4f} (floor {verdict.floor:.4f}){accuracy} "
                   f"after {verdict.steps} steps{curves}")  # fmt: skip
    return verdict


def schedule_text(composed: Composed, *, by: str = "block", phases: int | None = None) -> str:
    """Returns the default unfreezing schedule as YAML, from config.json alone."""
    from ftcli.plan.anatomy import read_anatomy
    from ftcli.plan.schedule import write_schedule
    from ftcli.planning import scaled_lr

    check(composed, with_data=False)
    model = draw_bare(composed.config)
    return write_schedule(read_anatomy(model), scaled_lr(composed.config), by=by, phases=phases)
