"""One run for each seed in one parent directory, their mean and spread, and the ensemble of all of them.

The parent is a run directory too: config.yaml with the seeds, seed-N/ for each member, and the ensemble's own
predictions and result.json. So evaluate, predict, compare and runs treat it as one model.
"""

from __future__ import annotations

import copy
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.config.check import check
from ftcli.config.command_line import command_line
from ftcli.config.compose import Composed
from ftcli.config.saved import render_config
from ftcli.run.resume import require_same_run, resume_as
from ftcli.run.run_dir import RunDir
from ftcli.run.tables import next_words
from ftcli.run.train import start
from ftcli.storage.run_files import read_text, unreadable
from ftcli.sweep.ensemble import member_dir, score_ensemble

if TYPE_CHECKING:
    from ftcli.console.console import Screen


def train_seeds(
    composed: Composed, overrides: list[str], *, run_dir: Path | None, screen: Screen
) -> dict[str, Any]:
    """Trains a new run for each seed and scores the ensemble.

    Args:
        composed: the configuration, with two seeds or more.
        overrides: as typed; command.txt repeats them.
        run_dir: of the parent; None: a new one under runs/.
        screen: where everything is printed.

    Returns:
        The parent's result.json.
    """
    check(composed)
    with RunDir.create(composed.config.recipe, run_dir=run_dir) as parent:
        parent.write_text("command.txt", command_line("train", overrides) + "\n")
        parent.write_text("config.yaml", render_config(composed))
        return _train_members(composed, parent, screen)


def resume_seeds(composed: Composed, parent: RunDir, screen: Screen) -> dict[str, Any]:
    """Resumes the members that are not finished, starts those that do not exist, and scores the ensemble.

    Raises:
        ConfigError: a word that would make them other runs, also where none of them has begun.
    """
    require_same_run(parent, composed)
    check(composed)
    with parent.locked():
        return _train_members(composed, parent, screen)


def _train_members(composed: Composed, parent: RunDir, screen: Screen) -> dict[str, Any]:
    """Trains or resumes one member after the other, then the ensemble is scored; returns the parent's result."""
    results: dict[int, dict[str, Any]] = {}
    for seed in composed.config.seeds:
        screen.heading(f"seed {seed}: {len(results) + 1} of {len(composed.config.seeds)}")
        own, folder = _with_seed(composed, seed), member_dir(parent, seed)
        existing = RunDir.existing(folder)
        results[seed] = (
            start(own, _member_overrides(parent, own), run_dir=folder, screen=screen)
            if existing is None
            else resume_as(own, existing, screen)
        )
    # A resume may have changed settings: the members have them now, so the parent's file follows.
    parent.write_text("config.yaml", render_config(composed))
    return _finish(parent, results, screen)


def _member_overrides(parent: RunDir, own: Composed) -> list[str]:
    """Returns the overrides that train one member by itself: the parent's, with the member's seeds."""
    kept = [
        word
        for word in _words(parent)
        if word.partition("=")[0] not in ("seed", "seeds", "num_seeds", "data.seed")
    ]
    return [*kept, f"seed={own.config.seed}", f"data.seed={own.config.data.seed}"]


def _words(parent: RunDir) -> list[str]:
    """Returns the words of command.txt after `ftcli train`."""
    try:
        return shlex.split(read_text(parent.command_txt))[2:]
    except ValueError as error:  # an open quote
        raise unreadable(parent.command_txt, f"it is damaged or cut off: {error}") from error


def _with_seed(composed: Composed, seed: int) -> Composed:
    """Returns the configuration of one member."""
    values = copy.deepcopy(composed.values)
    values.seed, values.seeds, values.num_seeds = seed, [], 1
    # All members are trained and scored on the same rows.
    data_seed = composed.config.seed if composed.config.data.seed is None else composed.config.data.seed
    values.data.seed = data_seed
    data = dataclasses.replace(composed.config.data, seed=data_seed)
    config = dataclasses.replace(composed.config, seed=seed, seeds=[], data=data)
    return dataclasses.replace(composed, config=config, values=values)


def _finish(parent: RunDir, results: dict[int, dict[str, Any]], screen: Screen) -> dict[str, Any]:
    """Scores the ensemble, writes result.json and prints members, mean and spread; returns result.json."""
    members_run = [RunDir(member_dir(parent, seed)) for seed in results]
    scored = score_ensemble(parent, members_run, screen)
    members = {str(seed): result["metrics"] for seed, result in results.items()}
    mean, deviation = spread_of(list(members.values()))
    first, test = next(iter(results.values())), scored.get("test")
    # The keys that one run has too mean the same for the parent, so evaluate, compare and runs read both.
    result = {
        "metrics": scored["validation"].figures,
        "version": 1,
        "run": parent.path.name,
        "recipe": first["recipe"],
        "monitor": first["monitor"],
        "seeds": list(results),
        "members": members,
        "mean": mean,
        "standard_deviation": deviation,
        "test": test.figures if test else None,
        "collapsed": scored["validation"].collapsed,
        "test_collapsed": test.collapsed if test else None,
        "steps": _total(results, "steps"),
        "train": first["train"],
        "wall_seconds": _total(results, "wall_seconds"),
        "trainable_parameters": _total(results, "trainable_parameters"),
        "total_parameters": _total(results, "total_parameters"),
    }
    parent.write_json("result.json", result)
    _show(result, parent, screen)
    screen.notes(f"ensemble, {part}: {one.collapsed}" for part, one in scored.items() if one.collapsed)
    return result


def spread_of(members: list[dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Returns mean and sample standard deviation (divided by n - 1) of each metric; no deviation of one member.

    Args:
        members: metric -> value of each seed's best checkpoint.
    """
    values = {name: np.array([one[name] for one in members]) for name in members[0]}
    mean = {name: float(own.mean()) for name, own in values.items()}
    if len(members) == 1:
        return mean, {}
    return mean, {name: float(own.std(ddof=1)) for name, own in values.items()}


def _total(results: dict[int, dict[str, Any]], key: str) -> Any:
    return sum(result[key] for result in results.values())


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
    screen.note(next_words(parent))
