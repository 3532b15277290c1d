"""`ftcli export`: a run's checkpoint -> a folder, proved before it appears."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.config.regular_file import is_folder
from ftcli.config.saved import restored
from ftcli.errors import ConfigError, DataError, FtcliError, Problem, SourceError
from ftcli.export import adapter, folder
from ftcli.export.facts import Facts
from ftcli.export.generation_settings import restore_for_use
from ftcli.export.greedy import greedy
from ftcli.export.inputs import inputs_of
from ftcli.export.model_card import card
from ftcli.export.parity import expected, prove
from ftcli.export.passes import ExportedFolder
from ftcli.export.stage import staged, vacant
from ftcli.inference.load import LoadedModel, load_run
from ftcli.run.model import unscale_head
from ftcli.run.run_dir import RunDir
from ftcli.storage.atomic import utf8
from ftcli.storage.run_files import read_record

if TYPE_CHECKING:
    from ftcli.console.console import Screen


@dataclass(kw_only=True, slots=True)
class ExportOptions:
    """How a run is exported."""

    merge: bool = False
    dtype: str | None = None
    """Of the weights written. None: as the run holds them."""
    checkpoint: str = "best"
    base: str | None = None
    """What adapter_config.json calls the base model. None: the hub's id, else `./` and the name of the base's folder."""
    push: str | None = None
    """Hub repository that gets the folder afterwards."""


def export(name: str, target: Path, options: ExportOptions, screen: Screen) -> dict[str, Any]:
    """Writes a run as a Hugging Face or PEFT folder; returns what was written and compared.

    Args:
        name: of the run, or its folder.
        target: the new folder.
        options: how it is exported.
        screen: where it is printed.

    Raises:
        RunDirError: the folder is not empty, or cannot be written.
        ConfigError: what cannot be exported, with the reason.
        ExportError: the folder, reloaded, does not answer as the run does; nothing is left.
    """
    final = vacant(target)
    run = RunDir.find(name)
    if options.push is not None:
        from ftcli.export.push import require_hub

        require_hub(options.push)
    if os.path.lexists(run.result_json):
        read_record(run.result_json)  # the card needs it in the end
    finished, missing = _open(run, options.checkpoint)
    screen.notes(finished.inputs.decisions)
    inputs = inputs_of(finished, missing)
    right = expected(finished, inputs)
    predicted = (
        expected(finished, inputs, as_predicted=True) if finished.runtime.precision != "fp32" else None
    )
    text = greedy(finished.model, inputs.prompts, finished.runtime.device) if inputs.prompts.ids else None
    kind = _kind(finished, options)
    with staged(final) as stage:
        made = _write(finished, stage, kind, options)
        screen.note(f"reloading it in a fresh process: {inputs.origin}")
        proved = prove(made, finished, inputs, right, predicted, text)
        place = options.push or f"./{final.name}"
        base = _base_name(finished, options)
        facts = Facts(run, finished, kind, made, proved, base, _base_id(finished, options), final, place)
        (stage / "README.md").write_bytes(utf8(card(facts)))
    result = _result(finished, final, kind, made, proved)
    _show(result, screen)
    if options.push is not None:
        from ftcli.export.push import push

        result["pushed"] = push(final, options.push)
        screen.note(f"pushed to {result['pushed']}")
    return result


def _open(run: RunDir, checkpoint: str) -> tuple[LoadedModel, str]:
    """Returns the run, and why its rows are missing where they are."""
    seeds = restored(run.config_yaml, []).config.seeds
    if seeds:
        message = f"is an ensemble of {len(seeds)} models, and a folder holds one"
        raise ConfigError(Problem(str(run.path), message, f"export a member: {run.path}/seed-{seeds[0]}"))
    try:
        return load_run(run, checkpoint, [], with_rows=True), ""
    except (DataError, SourceError, ConfigError) as error:
        return _without_rows(run, checkpoint, error), error.problems[0].message


def _without_rows(run: RunDir, checkpoint: str, error: FtcliError) -> LoadedModel:
    """Loads the run without its rows; where that fails too, it was not the rows that were missing."""
    try:
        return load_run(run, checkpoint, [], with_rows=False)
    except FtcliError as other:
        raise other from error


def _kind(finished: LoadedModel, options: ExportOptions) -> str:
    """Returns `plain`, `adapter` or `merged`."""
    assert finished.built is not None
    adapted = bool(finished.built.peft.adapter_names)
    if options.merge and not adapted:
        message = "the run has no adapters to merge"
        raise ConfigError(Problem("--merge", message, "leave --merge out: its folder is plain already"))
    if options.base is not None and (options.merge or not adapted):
        raise ConfigError(Problem("--base", "is for folders of adapters; this one holds all weights"))
    if (
        options.push
        and adapted
        and not options.merge
        and _base_id(finished, options) != _base_name(finished, options)
    ):
        message = f"the adapters' base is {_base_name(finished, options)}, which nobody else has"
        raise ConfigError(Problem("--push", message, "type --base ID with its name on the hub, or --merge"))
    if not adapted:
        return "plain"
    if not options.merge and not finished.inputs.source.weight_files:
        message = "the base was drawn at random, so that no folder has its weights"
        raise ConfigError(Problem("RUN", message, "type --merge for a folder that holds all weights"))
    return "merged" if options.merge else "adapter"


def _write(finished: LoadedModel, stage: Path, kind: str, options: ExportOptions) -> ExportedFolder:
    """Writes weights, config and preprocessing; the run's own model is not used again."""
    held = finished.composed.config.model.dtype.value
    head, scale = finished.inputs.task.head_of(finished.model), finished.inputs.task.label_scale
    made = ExportedFolder(stage, head, options.dtype or held, exact=kind != "merged" and scale.is_identity)
    if not scale.is_identity:
        # Plain libraries know nothing of standardised labels: the folder gives the user's own numbers.
        unscale_head(scale, finished.model)
    finished.inputs.tokenizer.save(stage, Path(finished.inputs.source.folder))
    if head.vocabulary:
        restore_for_use(finished.model, finished)
    if kind == "plain":
        folder.write_plain(finished.model, stage, made.dtype)
        return made
    model = adapter.build_peft(finished, head)
    if head.vocabulary:
        restore_for_use(model.get_base_model(), finished)
    if kind == "merged":
        plain = adapter.merged(model, finished.composed.config.choices["peft"])
        folder.write_plain(plain, stage, made.dtype)
        return made
    source = finished.inputs.source
    revision = source.folder.name if source.key == "model.id" and options.base is None else None
    made.base = str(source.folder)
    made.last_column = _reads_last_column(model, finished)
    folder.write_adapter(model, stage, made.dtype, base=_base_name(finished, options), revision=revision)
    if head.vocabulary:
        model.get_base_model().generation_config.save_pretrained(stage)
    return made


def _reads_last_column(model: Any, finished: LoadedModel) -> bool:
    """Returns whether plain peft reads a classifier's answer off the last column, PAD or not.

    A decoder's classifier scores the last token that is no PAD, which it finds in `input_ids`; where a prompt
    comes in as embeddings there are none, and it scores the last column. A prefix leaves `input_ids` alone.
    """
    config = model.peft_config["default"]
    decoder = hasattr(finished.model, "score") and not finished.inputs.hf_config.is_encoder_decoder
    return config.is_prompt_learning and config.peft_type != "PREFIX_TUNING" and decoder


def _base_name(finished: LoadedModel, options: ExportOptions) -> str:
    """Returns what the folder calls its base: a name on the hub, or a path that nothing takes for one.

    peft itself reads it only where it opens the base too (AutoPeftModel); the proof and the card's code hand over
    the base. A bare folder name would be looked up on the hub, where it may be another's model; an absolute
    path would reveal the exporter's disk and be of no use elsewhere.
    """
    return options.base or _base_id(finished, options) or f"./{finished.inputs.source.folder.resolve().name}"


def _base_id(finished: LoadedModel, options: ExportOptions) -> str | None:
    """Returns the base's name on the hub; None where it was read from a folder of the user's."""
    if options.base is not None:
        return None if options.base.startswith((".", "/", "~")) or is_folder(options.base) else options.base
    return None if finished.inputs.source.key == "model.path" else finished.composed.config.model.id


def _result(
    finished: LoadedModel, final: Path, kind: str, made: ExportedFolder, proved: dict[str, Any]
) -> dict[str, Any]:
    files = {path.name: path.stat().st_size for path in sorted(final.iterdir())}
    return {"folder": str(final), "kind": kind, "model": finished.origin, "dtype": made.dtype, "files": files,
            "auto_class": made.auto_class, "base": _adapter_base(final), **proved}  # fmt: skip


def _adapter_base(final: Path) -> str | None:
    file = final / "adapter_config.json"
    if not file.is_file():
        return None
    return str(json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"])


def _show(result: dict[str, Any], screen: Screen) -> None:
    rows = [
        (one["name"], f"{one['worst']:.1e}", f"{one['tolerance']:.2g}", f"{one['compared']:,}")
        for one in result["passes"]
    ]
    screen.table(
        "reloaded with plain libraries: largest difference / max(1, |logit|)",
        ["", "found", "allowed", "outputs"],
        rows,
        right=(1, 2, 3),
    )
    if result["prompts"]:
        screen.note(f"{result['prompts']} prompts are continued as by the run, token by token")
    total = sum(result["files"].values())
    screen.note(
        f"wrote {result['folder']}: {result['kind']}, {result['dtype']}, {total:,} bytes in {len(result['files'])} files"
    )
