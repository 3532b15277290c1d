"""`train --dry-run`: everything a run would decide, on paper. Reads rows and config.json, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli import build
from ftcli.checkpoint.commit import require_room
from ftcli.compose import Composed
from ftcli.encoding import encode_parts
from ftcli.phase_kit import build_factor, build_monitor
from ftcli.rundir import RunDir
from ftcli.runtime import decide_runtime
from ftcli.training import check

if TYPE_CHECKING:
    from ftcli.prefix.schedule import Prefix
    from ftcli.screen import Screen


def dry_run(composed: Composed, run_dir: Path | None, screen: Screen) -> dict[str, Any]:
    """Validates, prints plan, paths and arithmetic, and returns them.

    The model is built on the meta device, so neither weights nor memory are touched, and rows are
    read but not tokenised, save the training rows under a token budget: their lengths make the batches.
    """
    from ftcli.show import show_plan

    check(composed)
    config = composed.config
    target = RunDir.probe(config.recipe, run_dir=run_dir)
    screen.notes(composed.notes)
    ground = build.lay_ground(config)
    blueprint = build.draw(ground, meta=True)
    screen.notes([*ground.decisions, *blueprint.decisions])
    assert ground.parts is not None and ground.parts.train is not None
    require_room(target, build.checkpoint_bytes(blueprint, config))
    arithmetic = _count_steps(ground, screen)
    runtime = decide_runtime(config, ground.tokenizer.max_length)
    first = blueprint.plan.phases[blueprint.plan.start_phase]
    curve = first.trigger.limit(
        start=0, steps_per_epoch=arithmetic.steps_per_epoch, total_steps=arithmetic.total_steps
    )
    build_factor(first, curve, arithmetic.steps_per_epoch)
    show_plan(screen, blueprint.plan)
    screen.notes(arithmetic.lines())
    screen.notes(_frozen_prefix(blueprint, build.find_prefixes(config, blueprint, arithmetic)))
    paths = {"run directory": str(target), "model": ground.source.origin}
    for name in ("train", "validation", "test"):
        rows = getattr(ground.parts, name)
        if rows is not None:
            paths[name] = f"{rows.origin} ({len(rows):,} rows)"
    screen.table("paths", ["what", "where"], paths.items())
    screen.note(f"labels: {', '.join(ground.labels)}; monitored: {build_monitor(config, first).name}")
    screen.notes(runtime.decisions[:1])
    screen.heading("dry run: nothing was written")
    return {
        "plan": blueprint.plan.to_json(),
        "paths": paths,
        "labels": ground.labels,
        "steps_per_epoch": arithmetic.steps_per_epoch,
        "total_steps": arithmetic.total_steps,
        "rows": arithmetic.rows,
        "rows_per_step": arithmetic.mean_rows,
    }


def _frozen_prefix(blueprint: build.Blueprint, prefixes: Sequence[Prefix]) -> list[str]:
    """Says which phases may read kept activations; whether they do, a trial on the built model decides."""
    from ftcli.prefix.frame import open_frame

    frame = open_frame(blueprint.model, blueprint.anatomy) if prefixes else None
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


def _count_steps(ground: build.Ground, screen: Screen) -> build.Arithmetic:
    assert ground.parts is not None and ground.parts.train is not None
    if ground.config.trainer.token_budget is None:
        return build.count_steps(ground.config, len(ground.parts.train))
    tables, lines = encode_parts(ground, ["train"], store=False)
    screen.notes(lines)
    return build.count_steps(ground.config, len(tables["train"]), tables["train"])
