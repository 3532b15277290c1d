"""The proof of an export: a fresh process with plain transformers and peft answers as the run's model does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.errors import ExportError, Problem
from ftcli.export import reload
from ftcli.export.differences import compare, compare_ids, compare_labels, refuse_keys
from ftcli.export.greedy import Greedy, compare_text
from ftcli.export.head_form import column_names, form_of
from ftcli.export.passes import ExportedFolder, Pass, pass_as_predicted, passes_of, stride_of

if TYPE_CHECKING:
    import numpy as np

    from ftcli.export.inputs import Inputs
    from ftcli.inference.load import LoadedModel

TIMEOUT_S = 3600
SCRIPT = Path(reload.__file__)


def expected(
    finished: LoadedModel, inputs: Inputs, *, as_predicted: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the run's own outputs as `reload.outputs_of` describes them, of standardised labels in the head's unit.

    Args:
        finished: the run, loaded.
        inputs: the batches.
        as_predicted: in the precision in which `ftcli predict` runs, of some of the sequences; otherwise without autocast.

    Returns:
        values: (num_places, num_outputs) fp32.
        counts: (num_sequences,) int64, places of each sequence.
    """
    form = form_of(finished.inputs.task.head_of(finished.model), finished)
    region = finished.evaluator.forward.autocast() if as_predicted else nullcontext()
    batches = reload.fewer(inputs.batches, stride_of(inputs)) if as_predicted else inputs.batches
    with region:
        values, counts = reload.outputs_of(
            reload.aligned(finished.model.eval()), batches, finished.runtime.device, form
        )
    return values.numpy(), counts.numpy()


def prove(
    folder: ExportedFolder,
    finished: LoadedModel,
    inputs: Inputs,
    right: tuple[np.ndarray, np.ndarray],
    predicted: tuple[np.ndarray, np.ndarray] | None = None,
    text: Greedy | None = None,
) -> dict[str, Any]:
    """Reloads the folder in a fresh process and compares everything.

    Args:
        folder: to be tried.
        finished: the run, loaded.
        inputs: the batches.
        right: the run's own outputs, (num_places, num_outputs), and places of each sequence, (num_sequences,).
        predicted: what `ftcli predict` gives for some of the sequences, where that is in another precision.
        text: what a language model goes on with.

    Returns:
        What was compared: `passes`, `inputs`, `prompts`, and `resized` where the base has another head.

    Raises:
        ExportError: the folder does not load as it is, or answers otherwise.
    """
    every = stride_of(inputs)
    ways = passes_of(folder, finished, every)
    outputs, report = in_fresh_process(folder, finished, inputs, ways)
    refuse_keys(report["keys"])
    if not folder.head.vocabulary:
        compare_labels(report["labels"], finished.labels)
    compare_ids(report["ids"], inputs.texts, inputs.ids)
    compare_ids(report["probes"], inputs.probes, inputs.probe_ids)
    scale = finished.inputs.task.label_scale
    labels = finished.labels or column_names(form_of(folder.head, finished))
    for way in ways:
        kept = reload.sequences_of(inputs.batches, way.every)
        names = [inputs.names[i] for i in kept]
        compare(way, outputs, chosen(right, kept), names, labels, scale)
    if text is not None:
        compare_text(text, report["generated"], max(way.tolerance for way in ways))
    if predicted is not None:
        kept = reload.sequences_of(inputs.batches, every)
        way = pass_as_predicted(ways[0], finished, every)
        values, counts = chosen((outputs[way.key], outputs[f"{way.key}/counts"]), kept)
        names = [inputs.names[i] for i in kept]
        compare(way, {way.key: values, f"{way.key}/counts": counts}, predicted, names, labels, scale)
        ways.append(way)
    return {"passes": [asdict(way) | {"name": way.name} for way in ways], "inputs": inputs.origin,
            "texts": sum(map(bool, inputs.texts)), "prompts": len(inputs.prompts.ids), "sequences": len(inputs.names), "resized": bool(report.get("resized"))}  # fmt: skip


def chosen(outputs: tuple[np.ndarray, np.ndarray], kept: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the outputs of some sequences.

    Args:
        outputs: (num_places, num_outputs), and (num_sequences,) places of each sequence.
        kept: numbers of sequences, rising.
    """
    import numpy as np

    values, counts = outputs
    mask = np.zeros(len(counts), dtype=bool)
    mask[kept] = True
    # Outputs of another shape are refused as they are.
    if len(kept) == len(counts) or len(values) != counts.sum():
        return outputs
    return values[np.repeat(mask, counts)], counts[mask]


def in_fresh_process(
    folder: ExportedFolder, finished: LoadedModel, inputs: Inputs, ways: list[Pass]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the outputs and the report of `reload.py` for one folder.

    Args:
        folder: to be tried.
        finished: the run, loaded.
        inputs: the batches.
        ways: how to run it.

    Returns:
        Outputs as `compare` reads them: `ATTENTION/SHAPE` (num_places, num_outputs) fp32, and
        `ATTENTION/SHAPE/counts` (num_sequences,) int64. The report: `keys`, `labels`, `ids`, `probes`, `modules`.

    Raises:
        ExportError: plain transformers and peft cannot load or run it.
    """
    from safetensors.numpy import load_file

    with tempfile.TemporaryDirectory() as place:
        temporary = Path(place)
        inputs.save(temporary / "inputs.safetensors")
        entry = entry_of(folder, finished, inputs, ways, temporary / "inputs.safetensors")
        (temporary / "job.json").write_text(json.dumps([entry]), encoding="utf-8")
        command = [sys.executable, "-I", str(SCRIPT), str(temporary / "job.json"), str(temporary)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # fmt: skip
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ExportError(
                Problem(str(folder.path.name), f"plain libraries cannot load or run it: {said}")
            )
        report = json.loads((temporary / "reports.json").read_text(encoding="utf-8"))[0]
        return load_file(temporary / "0.safetensors"), report


def entry_of(
    folder: ExportedFolder, finished: LoadedModel, inputs: Inputs, ways: list[Pass], file: Path
) -> dict[str, Any]:
    """Returns the entry of the job that `reload.py` reads.

    Args:
        folder: to be tried.
        finished: the run, loaded.
        inputs: the batches, which `file` holds.
        ways: how to run it.
        file: of the batches.
    """
    return {"folder": str(folder.path), "auto_class": folder.auto_class, "dtype": folder.dtype, "base": folder.base,
            "device": finished.runtime.device, "threads": finished.runtime.threads, "inputs": str(file),
            "passes": [(way.attention, way.shape, way.every) for way in ways], "texts": inputs.texts, "probes": inputs.probes,
            "prompts": inputs.prompts.ids, "max_new_tokens": inputs.prompts.max_new_tokens, "stops": inputs.prompts.stops,
            "pad_id": finished.inputs.tokenizer.pad_id, "form": form_of(folder.head, finished)}  # fmt: skip
