"""`ftcli evaluate`: one model with its errors, or several models side by side in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.console.console import Screen
from ftcli.errors import ConfigError, Problem
from ftcli.inference.open import open_predictor, open_predictors
from ftcli.inference.output_file import require_picture
from ftcli.inference.score import evaluate_part
from ftcli.model.shared import sharing_line

if TYPE_CHECKING:
    from ftcli.inference.load import LoadedModel
    from ftcli.model.shared import SharedWeights

MAX_COLUMNS = 6
"""Most metrics that get a column each; with more, each metric gets a line."""


def evaluate_models(
    specs: list[str],
    overrides: list[str],
    screen: Screen,
    *,
    checkpoint: str,
    part: str,
    num_errors: int,
    picture: Path | None,
) -> dict[str, Any]:
    """Opens one model or several, scores a part of their rows and prints the figures; returns them.

    Args:
        specs: runs, Hugging Face folders or hub ids.
        overrides: other rows, metrics or hardware.
        screen: where tables are printed.
        checkpoint: `best`, `last` or a name.
        part: `validation`, `test` or `train`.
        num_errors: how many of the worst errors are listed.
        picture: PNG or SVG of the confusion matrix, of one model only.

    Raises:
        ConfigError: an override that would change the model, or a picture of several models.
        DataError: the part does not exist or has no labels.
        RunDirError: a run that cannot be found or read.
    """
    if picture is not None:
        require_picture(picture)
    if len(specs) == 1:
        loaded = open_predictor(specs[0], checkpoint, overrides, with_rows=True)
        return evaluate_part(loaded, part, screen, num_errors=num_errors, picture=picture)
    if picture is not None:
        raise ConfigError(Problem("--output", "draws one run's confusion matrix", "name one run"))
    opened, shared = open_predictors(specs, checkpoint, overrides, with_rows=True)
    return evaluate_several(opened, shared, part, screen, num_errors=num_errors)


def evaluate_several(
    models: dict[str, LoadedModel], shared: SharedWeights, part: str, screen: Screen, *, num_errors: int = 5
) -> dict[str, Any]:
    """Returns what `evaluate_part` returns of each model, and prints one table.

    Args:
        models: name -> model.
        shared: the weights they share.
        part: `validation`, `test` or `train`.
        screen: where the table is printed.
        num_errors: how many of each model's worst errors are returned; they are not printed.

    Raises:
        DataError: the part does not exist or has no labels.
    """
    silent = Screen(quiet=True)
    found = {name: evaluate_part(one, part, silent, num_errors=num_errors) for name, one in models.items()}
    _show(found, part, screen)
    screen.notes(f"{name}: {one['collapsed']}" for name, one in found.items() if one["collapsed"])
    if len({getattr(one.inputs.splits, part).sha256 for one in models.values()}) > 1:
        screen.note(
            f"these are not the same {part} rows: each run's figures are of its own, so they do not compare"
        )
    scored: dict[str, list[str]] = {}
    for name, one in found.items():
        scored.setdefault(one["data"], []).append(name)
    names = {origin: f" ({', '.join(own)})" if len(scored) > 1 else "" for origin, own in scored.items()}
    screen.notes(f"data: {origin}{own}" for origin, own in names.items())
    screen.note(sharing_line(shared))
    return {
        "runs": [{"run": name, **one} for name, one in found.items()],
        "part": part,
        "weight_reads": shared.reads,
        "shared_bytes": shared.num_bytes,
    }


def _show(found: dict[str, dict[str, Any]], part: str, screen: Screen) -> None:
    """Prints a line for each run, or a line for each metric where there are too many for columns."""
    names = list(dict.fromkeys(figure for one in found.values() for figure in one["metrics"]))
    if len(names) <= MAX_COLUMNS:
        rows = [
            [name, *(_figure_text(one["metrics"].get(figure)) for figure in names), str(one["rows"])]
            for name, one in found.items()
        ]
        screen.table(part, ["", *names, "rows"], rows, right=range(1, len(names) + 2))
        return
    rows = [
        [figure, *(_figure_text(one["metrics"].get(figure)) for one in found.values())] for figure in names
    ]
    rows.append(["rows", *(str(one["rows"]) for one in found.values())])
    screen.table(part, ["", *found], rows, right=range(1, len(found) + 1))


def _figure_text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
