"""Loads a trained model from a Hugging Face folder or a hub id."""

from __future__ import annotations

from dataclasses import replace

from ftcli.config.check import check
from ftcli.config.compose import load
from ftcli.config.regular_file import expanded, is_folder
from ftcli.config.shell_word import shell_word
from ftcli.errors import ConfigError, Problem, typed_words
from ftcli.inference.load import LoadedModel
from ftcli.run.inputs import build_task
from ftcli.run.model import build_base_model, ready_head
from ftcli.run.session import RunSession

ROWS = ("recipe=", "data=", "data.path=", "data.files.", "data.id=", "data.bundled=")
"""Words that name rows."""


def load_folder(spec: str, overrides: list[str], *, with_rows: bool) -> LoadedModel:
    """Loads a Hugging Face folder or hub id that has a trained head; data and task come from overrides.

    Args:
        spec: the folder or hub id.
        overrides: as for training.
        with_rows: False where rows come from elsewhere.

    Raises:
        ConfigError: no rows are named, or label names that do not fit the head.
        SourceError: the model has no trained head for the task.
    """
    if with_rows:
        _require_rows_named(spec, overrides)
    composed = load([*_folder_words(overrides), *_source_words(spec, overrides)])
    # One part is enough to score, where training asks for a source of rows.
    parts = [composed.config.data.files.validation, composed.config.data.files.test]
    check(composed, with_data=with_rows and not any(parts))
    names = composed.config.data.label_names
    session = RunSession(composed.config, labels=names or [], with_rows=with_rows)
    inputs = session.inputs
    own = [str(name) for _, name in sorted((inputs.hf_config.id2label or {}).items())]
    own = [] if inputs.task.has_vocabulary_head else own
    if names is None or inputs.task.alternatives:  # of choices, the names are those of places, not of outputs
        session.inputs = inputs = replace(inputs, labels=own, task=build_task(composed.config, own))
        inputs.task.names_of_head = True
    elif len(names) != len(own):
        message = f"{len(names)} label names for a head of {len(own)}: {', '.join(own)}"
        raise ConfigError(Problem("data.label_names", message, f"type {shell_word('data.label_names', own)}"))
    runtime = session.runtime
    built = build_base_model(inputs, attention=runtime.attention, require_head=True)
    runtime.attention = built.attention
    ready_head(inputs.task, built.model, runtime.precision)
    model = built.model.to(runtime.device).eval()
    return LoadedModel(composed, inputs, runtime, model, session.evaluator, inputs.source.origin)


def _source_words(spec: str, overrides: list[str]) -> list[str]:
    """Returns the words that choose the folder or hub id as the model."""
    source = f"model.path={spec}" if is_folder(expanded(spec)) else f"model.id={spec}"
    return [source] if any(word.startswith("model=") for word in overrides) else ["model=local", source]


def _folder_words(overrides: list[str]) -> list[str]:
    """Returns the overrides; without a recipe, rows may be as long as the model takes, not as the quickstart's."""
    stated = any(word.startswith(("recipe=", "tokenizer.max_length=")) for word in overrides)
    return overrides if stated else ["tokenizer.max_length=null", *overrides]


def _require_rows_named(spec: str, overrides: list[str]) -> None:
    """Raises ConfigError where the rows would be those of the quickstart, which say nothing about this model."""
    if any(word.lstrip("+-").startswith(ROWS) for word in overrides):
        return
    folder = typed_words(spec)
    hint = f"type ftcli evaluate {folder} data=text data.path=DIR, or data.files.validation=FILE; data=reviews are the reviews that come with ftcli"
    raise ConfigError(Problem("data", f"{spec} is no run, so that no rows are known to score it on", hint))
