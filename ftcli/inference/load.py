"""A trained model ready to score: out of a run directory, a Hugging Face folder or a hub id."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftcli.config.check import check
from ftcli.config.compose import Composed, load
from ftcli.config.saved import restored
from ftcli.errors import ConfigError, Problem, RunDirError
from ftcli.model.shared import SharedWeights, current, shared_weights
from ftcli.run.inputs import RunInputs, build_task
from ftcli.run.model import ModelAndPlan, build_base_model
from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.runtime.decide import Runtime

if TYPE_CHECKING:
    import torch

    from ftcli.trainer.evaluation import Evaluator

CHANGEABLE = ("data.", "task.metrics", "trainer.device", "trainer.precision", "trainer.eval_batch_size", "trainer.threads",
              "tokenizer.max_length", "model.path", "seed")  # fmt: skip
"""Words an evaluation of a run accepts: other rows, other metrics, another machine."""
STAMPED = re.compile(r"\d{8}-\d{6}-([0-9a-f]{6})")
"""Name of a run's folder: when it began, and its id."""


@dataclass(slots=True)
class LoadedModel:
    """A model ready to score, with its inputs and evaluator; `origin` is printed, `labels` order the probabilities."""

    composed: Composed
    inputs: RunInputs
    runtime: Runtime
    model: torch.nn.Module
    evaluator: Evaluator
    origin: str
    built: ModelAndPlan | None = None
    """What the model was built as; None for a folder or an ensemble."""

    @property
    def labels(self) -> list[str]:
        return self.inputs.labels


def load_run(run: RunDir, checkpoint: str, overrides: list[str], *, with_rows: bool) -> LoadedModel:
    """Loads a checkpoint of a run, with the rows of its configuration or of the overrides.

    Raises:
        ConfigError: a word that would change the model.
        RunDirError: the model's own files changed since training.
    """
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.trainer.state_dict import load_tensors

    composed = restored(run.path / "config.yaml", overrides)
    if composed.config.seeds:
        return _load_ensemble(run, composed.config.seeds, checkpoint, overrides, with_rows=with_rows)
    for key in sorted(composed.changed):
        if not key.startswith(CHANGEABLE):
            raise ConfigError(
                Problem(
                    key,
                    "cannot change in a finished run",
                    "words may change data.*, task.metrics and the device",
                )
            )
    if hasattr(composed.config.freezing, "start_from"):
        composed.config.freezing.start_from = None  # what the run began with is in its checkpoints
    check(composed, with_data=with_rows)
    recorded = json.loads(run.data_json.read_text(encoding="utf-8"))
    decided = json.loads(run.environment_json.read_text(encoding="utf-8"))["decisions"]
    found = CheckpointStore(
        run.checkpoints, keep=composed.config.trainer.keep_checkpoints, readonly=True
    ).find(checkpoint)
    asked = composed.changed
    kept = {"attention": decided["attention"]}
    if not asked & {"trainer.device", "trainer.precision"}:
        kept["precision"] = decided["precision"]
    if "trainer.threads" not in asked:
        kept["threads"] = decided["threads"]
    session = RunSession(composed.config, labels=recorded["labels"], with_rows=with_rows, recorded=kept)
    inputs = session.inputs
    if inputs.source.fingerprint() != recorded["model"]["fingerprint"]:
        raise RunDirError(Problem(inputs.source.origin, "the model's files changed since this run was trained",
                                  "type model.path=DIR with the folder it was trained from"))  # fmt: skip
    runtime, built = session.runtime, session.built
    load_tensors(built.model, found.load("model"))
    if (shared := current()) is not None:
        shared.adopt(built.model, runtime.device)
    model = built.model.to(runtime.device).eval()
    return LoadedModel(composed, inputs, runtime, model, session.evaluator, f"{run.path} ({found.name})", built)


def _load_ensemble(
    run: RunDir, seeds: list[int], checkpoint: str, overrides: list[str], *, with_rows: bool
) -> LoadedModel:
    """Loads every member; rows, tokenizer and evaluator are those of the first."""
    import torch

    members = [
        load_run(
            RunDir(run.path / f"seed-{seed}"), checkpoint, overrides, with_rows=with_rows and seed == seeds[0]
        )
        for seed in seeds
    ]
    first = members[0]
    if any(one.labels != first.labels for one in members):
        raise RunDirError(
            Problem(str(run.path), "its members have different labels", "train them on the same rows")
        )
    model = torch.nn.ModuleList([one.model for one in members])
    origin = f"{run.path} ({len(members)} members, {checkpoint})"
    return replace(first, model=model, origin=origin, built=None)


def load_folder(spec: str, overrides: list[str]) -> LoadedModel:
    """Loads a Hugging Face folder or hub id that already has its head; data and task come from overrides.

    Raises:
        ConfigError: the checkpoint holds no trained head for the task.
    """
    place = f"model.path={spec}" if Path(spec).expanduser().is_dir() else f"model.id={spec}"
    if not any(word.startswith("model=") for word in overrides):
        overrides = ["model=local", *overrides]
    composed = load([*overrides, place])
    check(composed)
    names = composed.config.data.label_names
    session = RunSession(composed.config, labels=names or [])
    inputs = session.inputs
    own = [str(name) for _, name in sorted((inputs.hf_config.id2label or {}).items())]
    if names is None:
        session.inputs = inputs = replace(inputs, labels=own, task=build_task(composed.config, own))
    elif len(names) != len(own):
        message = f"{len(names)} label names for a head of {len(own)}: {', '.join(own)}"
        raise ConfigError(Problem("data.label_names", message, f"type data.label_names=[{','.join(own)}]"))
    runtime = session.runtime
    built = build_base_model(inputs, attention=runtime.attention, require_head=True)
    model = built.model.to(runtime.device).eval()
    return LoadedModel(composed, inputs, runtime, model, session.evaluator, inputs.source.origin)


def open_predictor(spec: str, checkpoint: str, overrides: list[str], *, with_rows: bool) -> LoadedModel:
    """Opens whatever `ftcli evaluate` is given: a run, a folder with a model, or a hub id."""
    path = Path(spec).expanduser()
    if path.is_dir() and (path / "config.json").is_file():
        return load_folder(spec, overrides)
    try:
        run = RunDir.find(spec)
    except RunDirError:
        if path.exists() or "/" not in spec.strip("/") or spec.startswith((".", "/", "~", "runs")):
            raise
        return load_folder(spec, overrides)
    return load_run(run, checkpoint, overrides, with_rows=with_rows)


def open_predictors(
    specs: list[str], checkpoint: str, overrides: list[str], *, with_rows: bool
) -> tuple[dict[str, LoadedModel], SharedWeights]:
    """Opens several, those on one base with the base's weights read and held once.

    Returns:
        name -> predictor, in the order of `specs`; a name is the last part of a run's path or of an id.
        What is shared.

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
    """Returns the name of what was opened, for columns and rows: of a run `<time>-<id>` the id."""
    path = Path(spec).expanduser()
    try:
        name = path.resolve().name if path.is_dir() else RunDir.find(spec).path.resolve().name
    except RunDirError:
        name = spec.rstrip("/").rpartition("/")[2]
    stamped = STAMPED.fullmatch(name)
    return stamped.group(1) if stamped else name
