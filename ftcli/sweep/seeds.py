"""One run a seed under one parent, their mean and spread, and the ensemble of them all.

The parent is a run directory too: config.yaml with the seeds, seed-N/ for each member, and the ensemble's own
predictions and result.json, so that evaluate, predict, compare and runs take it for one predictor.
"""

from __future__ import annotations

import copy
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.config.check import check
from ftcli.config.compose import Composed
from ftcli.config.saved import render_config
from ftcli.run.resume import resume_as
from ftcli.run.run_dir import RunDir
from ftcli.run.train import start
from ftcli.runtime.environment import command_line

if TYPE_CHECKING:
    from ftcli.console.console import Screen


def train_seeds(
    composed: Composed, overrides: list[str], *, run_dir: Path | None, screen: Screen
) -> dict[str, Any]:
    """Trains a new run for each seed and scores the ensemble; returns the parent's result."""
    check(composed)
    with RunDir.create(composed.config.recipe, run_dir=run_dir) as parent:
        parent.write_text("command.txt", command_line("train", overrides) + "\n")
        parent.write_text("config.yaml", render_config(composed))
        return _members(composed, parent, screen)


def resume_seeds(composed: Composed, parent: RunDir, screen: Screen) -> dict[str, Any]:
    """Continues the members that are not loaded, begins those that are not there, scores the ensemble."""
    check(composed)
    with parent.locked():
        return _members(composed, parent, screen)


def member(parent: RunDir, seed: int) -> Path:
    """Returns where the run of a seed lies."""
    return parent.path / f"seed-{seed}"


def _members(composed: Composed, parent: RunDir, screen: Screen) -> dict[str, Any]:
    results: dict[int, dict[str, Any]] = {}
    for seed in composed.config.seeds:
        screen.heading(f"seed {seed}: {len(results) + 1} of {len(composed.config.seeds)}")
        own, place = _with_seed(composed, seed), member(parent, seed)
        existing = RunDir.existing(place)
        results[seed] = (
            start(own, _member_overrides(parent, own), run_dir=place, screen=screen)
            if existing is None
            else resume_as(own, existing, screen)
        )
    parent.write_text("config.yaml", render_config(composed))
    return _close(parent, results, screen)


def _member_overrides(parent: RunDir, own: Composed) -> list[str]:
    """Returns the overrides that train one member by itself: the parent's, with the member's seeds."""
    overrides = shlex.split(parent.command_txt.read_text(encoding="utf-8"))[2:]
    kept = [
        word for word in overrides if word.partition("=")[0] not in ("seed", "seeds", "num_seeds", "data.seed")
    ]
    return [*kept, f"seed={own.config.seed}", f"data.seed={own.config.data.seed}"]


def _with_seed(composed: Composed, seed: int) -> Composed:
    """Returns the configuration of one member."""
    values = copy.deepcopy(composed.values)
    values.seed, values.seeds, values.num_seeds = seed, [], 1
    # All members are trained and scored on the same rows.
    drawn_by = composed.config.seed if composed.config.data.seed is None else composed.config.data.seed
    values.data.seed = drawn_by
    data = dataclasses.replace(composed.config.data, seed=drawn_by)
    config = dataclasses.replace(composed.config, seed=seed, seeds=[], data=data)
    return dataclasses.replace(composed, config=config, values=values)


def _close(parent: RunDir, results: dict[int, dict[str, Any]], screen: Screen) -> dict[str, Any]:
    """Scores the ensemble, saves its predictions, writes result.json and prints members, mean and spread."""
    from ftcli.inference.load import load_run
    from ftcli.inference.score import score_part
    from ftcli.run.encode import describe_data
    from ftcli.run.predictions import save_predictions

    loaded = load_run(parent, "best", [], with_rows=True)
    scored, tables = {}, {}
    for part in ("validation", "test"):
        if (rows := getattr(loaded.inputs.splits, part)) is not None:
            tables[part], scores = score_part(loaded, part)
            if scores is not None:
                scored[part] = scores.figures
                path = parent.predictions / f"{part}.jsonl"
                save_predictions(path, loaded.evaluator, tables[part], rows, scores)
    parent.write_json("data.json", describe_data(loaded.inputs, tables))
    members = {str(seed): result["metrics"] for seed, result in results.items()}
    first = next(iter(results.values()))
    table = {name: np.array([one[name] for one in members.values()]) for name in first["metrics"]}
    spread = {name: float(values.std(ddof=1)) for name, values in table.items()} if len(members) > 1 else {}
    result = {
        "metrics": scored["validation"],
        "version": 1,
        "run": parent.path.name,
        "recipe": first["recipe"],
        "monitor": first["monitor"],
        "seeds": list(results),
        "members": members,
        "mean": {name: float(values.mean()) for name, values in table.items()},
        "standard_deviation": spread,
        "test": scored.get("test"),
        "steps": sum(one["steps"] for one in results.values()),
        "train": first["train"],
        "wall_seconds": sum(one["wall_seconds"] for one in results.values()),
        "trainable_parameters": sum(one["trainable_parameters"] for one in results.values()),
        "total_parameters": sum(one["total_parameters"] for one in results.values()),
    }
    parent.write_json("result.json", result)
    _show(result, parent, screen)
    return result


def _show(result: dict[str, Any], parent: RunDir, screen: Screen) -> None:
    names = list(result["mean"])
    rows: list[list[str]] = [
        [f"seed {s}", *(f"{one[n]:.4f}" for n in names)] for s, one in result["members"].items()
    ]
    rows.append(["mean", *(f"{result['mean'][n]:.4f}" for n in names)])
    if result["standard_deviation"]:
        rows.append(["standard deviation", *(f"{result['standard_deviation'][n]:.4f}" for n in names)])
    rows.append(["ensemble", *(f"{result['metrics'][n]:.4f}" for n in names)])
    screen.table(
        "validation, the best checkpoint of each seed", ["", *names], rows, right=range(1, len(names) + 1)
    )
    screen.note(
        f"next: ftcli evaluate {parent.path}   ftcli predict {parent.path} --input FILE --output FILE"
    )
