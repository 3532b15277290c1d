"""`ftcli train --dry-run`: everything a run would decide. Reads rows and config.json, no weights; writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.config.check import check
from ftcli.config.compose import Composed
from ftcli.run.build import find_prefixes
from ftcli.run.model import ModelAndPlan, checkpoint_bytes
from ftcli.run.phase import build_monitor
from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.run.steps import out_of_reach
from ftcli.runtime.decide import decide_runtime
from ftcli.storage.disk import require_room

if TYPE_CHECKING:
    from ftcli.console.console import Screen
    from ftcli.run.inputs import RunInputs
    from ftcli.trainer.activation_cache.schedule import FrozenPrefix


def dry_run(composed: Composed, run_dir: Path | None, screen: Screen) -> dict[str, Any]:
    """Validates, prints plan, paths and step counts, and returns them; raises what would stop the run.

    The model is built on the meta device, so neither weights nor memory are needed. Rows are read but not tokenized,
    except the training rows under a token budget: their lengths decide the batches.

    Args:
        composed: the configuration.
        run_dir: where the run would be written; None: a new folder under runs/.
        screen: where it is printed.
    """
    from ftcli.run.tables import show_plan

    check(composed)
    config = composed.config
    target = RunDir.probe(config.recipe, run_dir=run_dir)
    screen.notes(composed.notes)
    session = RunSession(config, notes=screen.notes, meta=True)
    inputs, built = session.inputs, session.built
    require_room(target, checkpoint_bytes(built, config))
    step_counts = session.require_steps()
    first = built.plan.phases[built.plan.start_phase]
    show_plan(screen, built.plan)
    screen.notes(step_counts.lines())
    screen.notes(out_of_reach(built.plan, step_counts, config.trainer.eval_every_n_steps))
    screen.notes(_frozen_prefix(built, find_prefixes(config, built, step_counts)))
    paths = _paths(target, inputs)
    screen.table("paths", ["what", "where"], paths.items())
    named = f"labels: {', '.join(inputs.labels)}; " if inputs.labels else ""
    screen.note(f"{named}monitored: {build_monitor(config, first).name}")
    # The first decision only: attention depends on the longest row, which is not known before rows are encoded.
    screen.notes(decide_runtime(config, inputs.tokenizer.max_length).decisions[:1])
    screen.heading("dry run: nothing was written")
    return {
        "plan": built.plan.to_json(),
        "paths": paths,
        "labels": inputs.labels,
        "steps_per_epoch": step_counts.steps_per_epoch,
        "total_steps": step_counts.total_steps,
        "rows": step_counts.rows,
        "rows_per_step": step_counts.mean_rows,
    }


def _paths(target: Path, inputs: RunInputs) -> dict[str, str]:
    """Returns what the run would read and write: name -> path or origin."""
    paths = {"run directory": str(target), "model": inputs.source.origin}
    for name in ("train", "validation", "test"):
        rows = getattr(inputs.splits, name)
        if rows is not None:
            paths[name] = f"{rows.origin} ({len(rows):,} rows)"
    return paths


def _frozen_prefix(built: ModelAndPlan, prefixes: Sequence[FrozenPrefix]) -> list[str]:
    """Returns a line about the phases that may read cached activations; a run tries on the built model whether they can."""
    from ftcli.trainer.activation_cache.cut_point import open_frame

    frame = open_frame(built.model, built.anatomy) if prefixes else None
    if frame is None:
        return []
    parts = ", ".join(
        f"those of {frame.name(prefix.depth)} in phase {index}"
        for index, prefix in enumerate(prefixes)
        if prefix.depth and prefix.pays
    )
    return [
        f"frozen prefix: activations are kept where a trial agrees: {parts} (trainer.prefix_cache=off keeps none)"
    ]
