"""Loads a trained model from a run directory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ftcli.config.check import check
from ftcli.config.compose import Composed, names_of_a_run
from ftcli.config.same_names import places_of
from ftcli.config.saved import restored
from ftcli.errors import ConfigError, Problem, RunDirError
from ftcli.model.shared import current
from ftcli.run.inputs import RunInputs
from ftcli.run.model import ModelAndPlan
from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.runtime.decide import Runtime
from ftcli.storage.run_files import read_record

if TYPE_CHECKING:
    import torch

    from ftcli.trainer.evaluation import Evaluator

CHANGEABLE = ("data.", "task.metrics", "task.answers_", "task.labels_from", "trainer.device", "trainer.precision",
              "trainer.eval_batch_size", "trainer.threads", "tokenizer.max_length", "model.path", "model.id", "seed")  # fmt: skip
"""Keys that may change when a finished run is scored: other rows, other metrics, another machine."""


@dataclass(slots=True)
class LoadedModel:
    """A model ready to score and predict, with all that belongs to it."""

    composed: Composed
    inputs: RunInputs
    runtime: Runtime
    model: torch.nn.Module
    """In eval mode, on the runtime's device; a ModuleList of the members for an ensemble."""
    evaluator: Evaluator
    origin: str
    """How messages name it: the run's path with the checkpoint, a folder or a hub id."""
    built: ModelAndPlan | None = None
    """The model with its plan and adapters; None for a folder or an ensemble."""

    @property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of the probabilities."""
        return self.inputs.labels


def load_run(run: RunDir, checkpoint: str, overrides: list[str], *, with_rows: bool) -> LoadedModel:
    """Loads a checkpoint of a run, with the rows of its configuration or of the overrides.

    Args:
        run: of one model, or of an ensemble of seeds.
        checkpoint: `best`, `last` or a name such as `step-000100`.
        overrides: those that begin with one of CHANGEABLE.
        with_rows: False where rows come from elsewhere, as in `ftcli predict`.

    Raises:
        ConfigError: an override that would change the model.
        RunDirError: the base model's files changed since training.
    """
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.run.model import saved_names
    from ftcli.trainer.state_dict import load_tensors

    composed = restored(run.path / "config.yaml", overrides)
    config = composed.config
    if config.seeds:
        return _load_ensemble(run, config.seeds, checkpoint, overrides, with_rows=with_rows)
    recorded = read_record(run.data_json)
    store = CheckpointStore(run.checkpoints, keep=config.trainer.keep_checkpoints, readonly=True)
    found = store.find(checkpoint)
    session = _session_of(run, composed, recorded, with_rows=with_rows)
    inputs = session.inputs
    _require_same_base(inputs, recorded["model"]["fingerprint"])
    runtime, built = session.runtime, session.built
    load_tensors(built.model, found.load("model"), saved_names(built, config))
    if (shared := current()) is not None:
        shared.adopt(built.model, runtime.device)
    model = built.model.to(runtime.device).eval()
    return LoadedModel(
        composed, inputs, runtime, model, session.evaluator, f"{run.path} ({found.name})", built
    )


def open_session(run: RunDir) -> RunSession:
    """Returns the rows, the tokenizer and the evaluator of a finished run of one model; its model is not built.

    Args:
        run: of one model.

    Raises:
        RunDirError: a file of the run cannot be read.
    """
    recorded = read_record(run.data_json)
    return _session_of(run, restored(run.path / "config.yaml", []), recorded, with_rows=True)


def _session_of(run: RunDir, composed: Composed, recorded: dict[str, Any], *, with_rows: bool) -> RunSession:
    """Returns the session that scores a run: its labels and decisions are those of the training.

    Raises:
        ConfigError: an override that would change the model.
    """
    _require_changeable(composed)
    config = composed.config
    if hasattr(config.freezing, "start_from"):
        config.freezing.start_from = None  # the tensors that the run began with are in its checkpoints
    check(composed, with_data=with_rows)
    kept = _recorded_decisions(run, composed.changed)
    session = RunSession(
        config,
        labels=recorded["labels"],
        learned=recorded.get("task", {}),
        with_rows=with_rows,
        recorded=kept,
        only_cached=names_of_a_run(composed),
    )
    session.inputs.decisions += _other_names(config.data.label_names, session.inputs)
    return session


def _other_names(names: list[str] | None, inputs: RunInputs) -> list[str]:
    """Returns a line where the rows' declared names are not those that the run was trained with."""
    own = inputs.labels
    if not names or len(own) < 2 or places_of(names, own) is not None or inputs.task.alternatives:
        return []
    return [
        f"data.label_names {', '.join(names[:12])} are no names of the run: its labels are {', '.join(own[:12])}, and ids in the rows are theirs"
    ]


def _require_changeable(composed: Composed) -> None:
    """Raises ConfigError for an override that would make another model than the one that was trained."""
    for key in sorted(composed.changed):
        if not key.startswith(CHANGEABLE):
            hint = "overrides may change data.*, task.metrics and the device"
            raise ConfigError(Problem(key, "cannot change in a finished run", hint))


def _recorded_decisions(run: RunDir, changed: frozenset[str]) -> dict[str, Any]:
    """Returns decisions of the training run that scoring repeats, unless an override asks for something else.

    Attention, precision and the number of threads change figures in the last digits.
    """
    decided = read_record(run.environment_json)["decisions"]
    kept = {"attention": decided["attention"]}
    if not changed & {"trainer.device", "trainer.precision"}:
        kept["precision"] = decided["precision"]
    if "trainer.threads" not in changed:
        kept["threads"] = decided["threads"]
    return kept


def _require_same_base(inputs: RunInputs, fingerprint: str) -> None:
    """Raises RunDirError where the base model's files are not those of the training run.

    A checkpoint of an adapter has only the adapter's tensors: the rest comes from these files.
    """
    if inputs.source.fingerprint() != fingerprint:
        message = "the model's files changed since this run was trained"
        hint = "type model.path=DIR with the folder it was trained from"
        raise RunDirError(Problem(inputs.source.origin, message, hint))


def _load_ensemble(
    run: RunDir, seeds: list[int], checkpoint: str, overrides: list[str], *, with_rows: bool
) -> LoadedModel:
    """Loads every member of an ensemble; rows, tokenizer and evaluator are those of the first.

    Raises:
        RunDirError: the members have different labels, so their probabilities cannot be averaged.
    """
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
    if any(one.inputs.task.learned() != first.inputs.task.learned() for one in members):
        message = "its members standardised their labels by other means, for they saw other rows"
        raise RunDirError(
            Problem(str(run.path), message, "predict with each member: ftcli predict takes several runs")
        )
    model = torch.nn.ModuleList([one.model for one in members])
    origin = f"{run.path} ({len(members)} members, {checkpoint})"
    return replace(first, model=model, origin=origin, built=None)
