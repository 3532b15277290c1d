"""Opens what a command names as RUN: a run directory, a folder or a hub id, or several of them."""

from __future__ import annotations

import re

from ftcli.config.regular_file import exists, expanded, is_file, is_folder
from ftcli.errors import ConfigError, Problem, RunDirError
from ftcli.inference.load import LoadedModel, load_run
from ftcli.inference.load_folder import load_folder
from ftcli.model.shared import SharedWeights, shared_weights
from ftcli.run.run_dir import RunDir

STAMPED = re.compile(r"\d{8}-\d{6}-([0-9a-f]{6})")
"""Name of a run's folder: when it started, and its id."""


def open_predictor(spec: str, checkpoint: str, overrides: list[str], *, with_rows: bool) -> LoadedModel:
    """Opens what `ftcli evaluate` is given: a run, a folder with a model, or a hub id.

    Args:
        spec: path of a run, a part of its id or `last`; a folder with config.json; or a hub id such as OWNER/NAME.
        checkpoint: of a run: `best`, `last` or a name.
        overrides: other rows, metrics or hardware; for a folder or hub id also the task.
        with_rows: False where rows come from elsewhere, as in `ftcli predict`.

    Raises:
        RunDirError: no run matches, and `spec` cannot be a hub id.
        ConfigError: an override that would change the model.
    """
    path = expanded(spec)
    if is_file(path / "config.json"):
        return load_folder(spec, overrides, with_rows=with_rows)
    try:
        run = RunDir.find(spec)
    except RunDirError:
        if exists(path) or "/" not in spec.strip("/") or spec.startswith((".", "/", "~", "runs")):
            raise
        return load_folder(spec, overrides, with_rows=with_rows)
    return load_run(run, checkpoint, overrides, with_rows=with_rows)


def open_predictors(
    specs: list[str], checkpoint: str, overrides: list[str], *, with_rows: bool
) -> tuple[dict[str, LoadedModel], SharedWeights]:
    """Opens several models; of those with the same base model the weights are read and kept in memory once.

    Args:
        specs: as `open_predictor` takes them.
        checkpoint: of the runs: `best`, `last` or a name.
        overrides: for all of them.
        with_rows: False where rows come from elsewhere.

    Returns:
        name -> model, in the order of `specs`; a name is the last part of a run's path or of an id.
        The weights they share.

    Raises:
        ConfigError: two have the same name.
    """
    opened: dict[str, LoadedModel] = {}
    with shared_weights() as shared:
        for spec in specs:
            loaded = open_predictor(spec, checkpoint, overrides, with_rows=with_rows)
            name = _name(spec)
            if name in opened:
                hint = "name each run once, and give folders different names"
                raise ConfigError(Problem("RUN", f"{name} is the name of two of them", hint))
            opened[name] = loaded
    shared.release()
    return opened, shared


def _name(spec: str) -> str:
    """Returns the name of a model for columns and rows of a table: of a run `<time>-<id>` the id."""
    path = expanded(spec)
    try:
        name = path.resolve().name if is_folder(path) else RunDir.find(spec).path.resolve().name
    except RunDirError:
        name = spec.rstrip("/").rpartition("/")[2]
    stamped = STAMPED.fullmatch(name)
    return stamped.group(1) if stamped else name
