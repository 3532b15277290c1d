"""The proof of an export: a fresh process with plain transformers and peft answers as the run's model does."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.batching.label_scale import LabelScale
from ftcli.errors import ExportError, Problem
from ftcli.export import reload
from ftcli.export.reload import PADDED, UNPADDED

if TYPE_CHECKING:
    import numpy as np

    from ftcli.batching.head import Head
    from ftcli.export.inputs import Inputs
    from ftcli.inference.load import LoadedModel

CLOSE, HALF = 1e-5, 2e-2
"""Largest difference of a model of two layers, times max(1, largest |logit| of the place): of another order of operations, and of 16 bits."""
PREDICTED = 8e-2
"""Largest difference of a model of two layers between what `ftcli predict` gives with a base in bf16 and the folder in the dtype of its weights.

Measured on BERT, GPT-2 and Llama of width 192 with random weights of standard deviation 0.1, three logits, two seeds each: at most 4.8e-2 with
2 layers, 8.2e-2 with 6, 9.0e-2 with 12 and 1.4e-1 with 24; allowed, by the square root of depth, are 8.0e-2, 1.4e-1, 2.0e-1 and 2.8e-1.
"""
ROUNDINGS = 4
"""Roundings of a number in 32 bits between a head and its folded copy."""
ENOUGH = 64
"""Sequences, at least, of the passes beside the first one, which takes all."""
TIMEOUT_S = 3600
SHOWN = 4
SCRIPT = Path(reload.__file__)
NO_SCALE = LabelScale()


@dataclass(slots=True)
class Folder:
    """A folder to be tried, and how plain libraries load it."""

    path: Path
    head: Head
    dtype: str
    base: str | None = None
    """Where the base model of an adapter is read."""
    exact: bool = True
    """Whether the same operations are done in the same order: not where adapters were merged."""
    last_column: bool = False
    """Whether plain peft reads the answer off the last column, so that padding must stay away."""

    @property
    def auto_class(self) -> str:
        """Name of the transformers class that loads it."""
        return self.head.auto_class


@dataclass(slots=True)
class Pass:
    """One way to run the folder, and how far it may be from the run."""

    attention: str
    shape: str
    tolerance: float
    every: int = 1
    """One of how many sequences of each batch is run."""
    predicted: str = ""
    """The precision in which `ftcli predict` runs the model, where its predictions are what is compared."""
    worst: float = 0.0
    """Largest |difference| / max(1, largest |logit| of the place)."""
    compared: int = 0
    """Numbers compared."""

    @property
    def name(self) -> str:
        """How messages and the model card name the pass."""
        how = "in the run's batches" if self.shape == PADDED else "one row at a time, unpadded"
        what = f", against ftcli predict in {self.predicted}" if self.predicted else ""
        return f"{self.attention} attention, {how}{what}"


def share(inputs: Inputs) -> int:
    """Returns one of how many sequences is enough for the passes beside the first: they look for another order of operations."""
    return max(1, len(inputs.names) // ENOUGH)


def passes_of(folder: Folder, finished: LoadedModel, every: int = 1) -> list[Pass]:
    """Returns the recorded way first, of all sequences, then one row at a time, then the other attention kind.

    Args:
        folder: to be tried.
        finished: the run, loaded.
        every: one of how many sequences of each batch the others take.
    """
    own = str(finished.model.config._attn_implementation)  # type: ignore[union-attr]
    held = finished.composed.config.model.dtype.value
    half = folder.dtype != "float32" or held != "float32"
    other = (HALF if half else CLOSE) * depth_factor(finished.model.config)
    same = 0.0 if folder.exact and folder.dtype == held else other
    if folder.last_column:
        return [Pass(own, UNPADDED, other)]
    ways = [Pass(own, PADDED, same), Pass(own, UNPADDED, other, every)]
    if getattr(finished.model, "_supports_sdpa", False):
        ways.append(Pass("sdpa" if own == "eager" else "eager", PADDED, other, every))
    return ways


def depth_factor(config: Any) -> float:
    """Returns how much larger than of two layers the differences of a model may be.

    Rounding errors of layers add up as a random walk does, with the square root of their number. Measured on BERT and GPT-2 of width 384 with
    weights of standard deviation 0.1: 3.0e-6 with 2 layers, 6.8e-6 with 12 and 1.1e-5 with 24 (square roots: 7.3e-6 and 1.0e-5).
    """
    depths = (
        getattr(config, name, 0) for name in ("num_hidden_layers", "decoder_layers", "num_decoder_layers")
    )
    layers = sum(depth for depth in depths if isinstance(depth, int))
    return math.sqrt(max(2, layers) / 2)


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
    form = form_of(finished.inputs.task.head_of(finished.model))
    region = finished.evaluator.forward.autocast() if as_predicted else nullcontext()
    batches = reload.fewer(inputs.batches, share(inputs)) if as_predicted else inputs.batches
    with region:
        values, counts = reload.outputs_of(
            reload.aligned(finished.model.eval()), batches, finished.runtime.device, form
        )
    return values.numpy(), counts.numpy()


def prove(
    folder: Folder,
    finished: LoadedModel,
    inputs: Inputs,
    right: tuple[np.ndarray, np.ndarray],
    predicted: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Reloads the folder in a fresh process and compares everything.

    Args:
        folder: to be tried.
        finished: the run, loaded.
        inputs: the batches.
        right: the run's own outputs, (num_places, num_outputs), and places of each sequence, (num_sequences,).
        predicted: what `ftcli predict` gives for some of the sequences, where that is in another precision.

    Returns:
        What was compared: `passes`, `inputs`, `labels`, and `resized` where the base has another head.

    Raises:
        ExportError: the folder does not load as it is, or answers otherwise.
    """
    every = share(inputs)
    ways = passes_of(folder, finished, every)
    outputs, report = in_fresh_process(folder, finished, inputs, ways)
    refuse_keys(report["keys"])
    _compare_labels(report["labels"], finished.labels)
    _compare_ids(report["ids"], inputs.texts, inputs.ids)
    _compare_ids(report["probes"], inputs.probes, inputs.probe_ids)
    scale = finished.inputs.task.label_scale
    for way in ways:
        kept = reload.sequences_of(inputs.batches, way.every)
        names = [inputs.names[i] for i in kept]
        compare(way, outputs, chosen(right, kept), names, finished.labels, scale)
    if predicted is not None:
        kept = reload.sequences_of(inputs.batches, every)
        far = PREDICTED * depth_factor(finished.model.config)
        way = Pass(ways[0].attention, ways[0].shape, far, every, finished.runtime.precision)
        key = f"{way.attention}/{way.shape}"
        values, counts = chosen((outputs[key], outputs[f"{key}/counts"]), kept)
        names = [inputs.names[i] for i in kept]
        compare(way, {key: values, f"{key}/counts": counts}, predicted, names, finished.labels, scale)
        ways.append(way)
    return {"passes": [asdict(way) | {"name": way.name} for way in ways], "inputs": inputs.origin,
            "texts": sum(map(bool, inputs.texts)), "sequences": len(inputs.names), "resized": bool(report.get("resized"))}  # fmt: skip


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
    if (
        len(kept) == len(counts) or len(values) != counts.sum()
    ):  # outputs of another shape are refused as they are
        return outputs
    return values[np.repeat(mask, counts)], counts[mask]


def in_fresh_process(
    folder: Folder, finished: LoadedModel, inputs: Inputs, ways: list[Pass]
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
        room = Path(place)
        inputs.save(room / "inputs.safetensors")
        entry = entry_of(folder, finished, inputs, ways, room / "inputs.safetensors")
        (room / "job.json").write_text(json.dumps([entry]), encoding="utf-8")
        command = [sys.executable, "-I", str(SCRIPT), str(room / "job.json"), str(room)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # fmt: skip
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ExportError(
                Problem(str(folder.path.name), f"plain libraries cannot load or run it: {said}")
            )
        report = json.loads((room / "reports.json").read_text(encoding="utf-8"))[0]
        return load_file(room / "0.safetensors"), report


def entry_of(
    folder: Folder, finished: LoadedModel, inputs: Inputs, ways: list[Pass], file: Path
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
            "form": form_of(folder.head)}  # fmt: skip


def form_of(head: Head) -> dict[str, Any]:
    """Returns what `reload.py`, which imports nothing of ftcli, has to know of a head, as plain JSON."""
    return {"outputs": list(head.outputs), "per_token": head.per_token, "one_row": head.one_row}


def refuse_keys(keys: list[str]) -> None:
    """Raises ExportError where a tensor was missing, left over or re-initialized on loading."""
    if keys:
        more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
        raise ExportError(
            Problem("reload", "; ".join(keys[:SHOWN]) + more, "please report it: nothing was kept")
        )


def compare(
    way: Pass,
    outputs: dict[str, np.ndarray],
    right: tuple[np.ndarray, np.ndarray],
    names: list[str],
    labels: list[str],
    scale: LabelScale = NO_SCALE,
) -> None:
    """Compares one pass and fills in `way.worst` and `way.compared`.

    Args:
        way: the pass.
        outputs: of `in_fresh_process`, (num_places, num_outputs) and (num_sequences,).
        right: the run's own, (num_places, num_outputs) and (num_sequences,).
        names: (num_sequences,) what each sequence is.
        labels: names of the outputs.
        scale: of standardised labels: the run's outputs are in the head's unit, the folder's in the labels' own, and
            they are compared in the former.

    Raises:
        ExportError: names the places that differ most, with both values.
    """
    import numpy as np

    key = f"{way.attention}/{way.shape}"
    found, counts = outputs[key], outputs[f"{key}/counts"]
    values, own_counts = right
    if found.shape != values.shape or not np.array_equal(counts, own_counts):
        message = f"gives outputs of shape {found.shape}, the run {values.shape}"
        raise ExportError(Problem("reload", f"{way.name}: the folder {message}"))
    both_nan = np.isnan(found) & np.isnan(values)
    distance = np.abs(scale.shrink(found.astype(np.float64)) - values) / _sizes(values)
    distance = np.where(both_nan, 0.0, np.nan_to_num(distance, nan=np.inf))
    way.worst, way.compared = float(distance.max(initial=0.0)), int(distance.size)
    # Around a mean of 2,000 a 32-bit number has steps of 1e-4, whatever the labels' spread.
    way.tolerance += ROUNDINGS * float(np.finfo(np.float32).eps) * abs(scale.mean) / scale.std
    if way.worst > way.tolerance:
        values = scale.restore(values)
        raise ExportError(*_where(way, distance, found, values, _owners(own_counts, names), labels))


def _sizes(values: np.ndarray) -> np.ndarray:
    """Returns (num_places, 1): 1, or the largest |logit| of the place, from whose sum an error of a small one comes too."""
    import numpy as np

    largest = np.abs(np.nan_to_num(values)).max(axis=-1, keepdims=True, initial=0.0)
    return np.asarray(np.maximum(1.0, largest))


def _owners(counts: np.ndarray, names: list[str]) -> list[str]:
    """Returns (num_places,) names of what stands at each place."""
    owners = []
    for name, count in zip(names, counts.tolist(), strict=True):
        owners += [name] if count == 1 else [f"{name}, token {i + 1}" for i in range(count)]
    return owners


def _where(
    way: Pass,
    distance: np.ndarray,
    found: np.ndarray,
    values: np.ndarray,
    owners: list[str],
    labels: list[str],
) -> list[Problem]:
    import numpy as np

    count = int((distance > way.tolerance).sum())
    first = f"{count:,} of {distance.size:,} outputs differ by more than {way.tolerance:.2g} x max(1, |logit|), with {way.name}"
    problems = [
        Problem("reload", first, "nothing was kept; type --checkpoint or --dtype otherwise, or report it")
    ]
    for flat in np.argsort(-distance, axis=None, kind="stable")[: min(SHOWN, count)]:
        place, output = divmod(int(flat), distance.shape[1])
        label = f"output {labels[output]!r}" if output < len(labels) else f"output {output + 1}"
        message = f"{label}: {values[place, output]:.9g} in the run, {found[place, output]:.9g} in the folder"
        problems.append(Problem(owners[place], message))
    return problems


def _compare_labels(found: dict[str, str], labels: list[str]) -> None:
    named = [found.get(str(i)) for i in range(len(found))]
    if named != labels:
        raise ExportError(Problem("config.json", f"its labels are {named}, the run's {labels}"))


def _compare_ids(found: list[list[int]], texts: list[list[str]], right: list[list[int]]) -> None:
    """Raises ExportError for texts that the folder's tokenizer reads as other tokens than the run."""
    wrong = [i for i, ids in enumerate(found) if ids != right[i]]
    if wrong:
        row = wrong[0]
        message = f"reads {len(wrong)} of {len(found)} texts otherwise; {texts[row]!r:.120} is {found[row][:12]}, in the run {right[row][:12]}"
        raise ExportError(Problem("tokenizer", message))
