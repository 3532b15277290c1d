"""Where a reloaded folder and the run differ: outputs, labels, token ids and tensors that were not loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftcli.errors import ExportError, Problem

if TYPE_CHECKING:
    import numpy as np

    from ftcli.batching.label_scale import LabelScale
    from ftcli.export.passes import Pass

ROUNDINGS = 4
"""Roundings of a number in 32 bits between a head and its folded copy."""
SHOWN = 4


def compare(
    way: Pass,
    outputs: dict[str, np.ndarray],
    right: tuple[np.ndarray, np.ndarray],
    names: list[str],
    labels: list[str],
    scale: LabelScale,
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

    found, counts = outputs[way.key], outputs[f"{way.key}/counts"]
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


def refuse_keys(keys: list[str]) -> None:
    """Raises ExportError where a tensor was missing, left over or re-initialized on loading."""
    if keys:
        more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
        raise ExportError(
            Problem("reload", "; ".join(keys[:SHOWN]) + more, "please report it: nothing was kept")
        )


def compare_labels(found: dict[str, str], labels: list[str]) -> None:
    """Raises ExportError for a config.json with other label names than the run's."""
    named = [found.get(str(i)) for i in range(len(found))]
    if named != labels:
        raise ExportError(Problem("config.json", f"its labels are {named}, the run's {labels}"))


def compare_ids(found: list[list[int]], texts: list[list[str]], right: list[list[int]]) -> None:
    """Raises ExportError for texts that the folder's tokenizer reads as other tokens than the run."""
    wrong = [i for i, ids in enumerate(found) if ids != right[i]]
    if wrong:
        row = wrong[0]
        message = f"reads {len(wrong)} of {len(found)} texts otherwise; {texts[row]!r:.120} is {found[row][:12]}, in the run {right[row][:12]}"
        raise ExportError(Problem("tokenizer", message))
