"""evaluate and predict with several predictors at once."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from ftcli.console.console import Screen
from ftcli.console.units import size_text
from ftcli.inference.row_writer import RowWriter, format_of, opened
from ftcli.inference.score import evaluate_part, read_pieces, refuse_same

if TYPE_CHECKING:
    from ftcli.inference.load import LoadedModel
    from ftcli.model.shared import SharedWeights

MAX_COLUMNS = 6
"""Figures that a table has columns for."""


def evaluate_several(
    models: dict[str, LoadedModel], shared: SharedWeights, part: str, screen: Screen, *, mistakes: int = 5
) -> dict[str, Any]:
    """Returns what `evaluate_part` returns of each predictor, and prints one table.

    Args:
        models: name -> predictor.
        shared: what they hold together.
        part: `validation`, `test` or `train`.
        screen: where the table goes.
        mistakes: how many of each one's worst mistakes are returned; they are not printed.

    Raises:
        DataError: the part does not exist or has no labels.
    """
    silent = Screen(quiet=True)
    found = {name: evaluate_part(one, part, silent, mistakes=mistakes) for name, one in models.items()}
    _show(found, part, screen)
    if len({getattr(one.inputs.splits, part).sha256 for one in models.values()}) > 1:
        screen.note(
            f"these are not the same {part} rows: each run's figures are of its own, so they do not compare"
        )
    screen.note(sharing(shared))
    return {"runs": [{"run": name, **one} for name, one in found.items()], "part": part,
            "weight_reads": shared.reads, "shared_bytes": shared.num_bytes}  # fmt: skip


def sharing(shared: SharedWeights) -> str:
    """Says what holding the weights together saved."""
    times = "once" if shared.reads == 1 else f"{shared.reads} times"
    return f"weights were read {times}; sharing them saves {size_text(shared.num_bytes)} of memory"


def predict_several(models: dict[str, LoadedModel], source: str, target: str) -> int:
    """Writes every row of `source` with every predictor's columns to `target`; returns how many rows.

    Raises:
        DataError: the input lacks a column that a task reads.
        RunDirError: the output cannot be written.
    """
    suffix = format_of(target, "--output")
    found = read_pieces(source, list(models.values()))
    first = next(found)
    refuse_same(source, target)
    columns = [
        f"{name}.{column}" for name, one in models.items() for column in one.inputs.task.added_columns()
    ]
    count = 0
    with opened(target) as file:
        writer = RowWriter(file, suffix, first, columns)
        for piece in chain([first], found):
            cells = [_cells(one, piece) for one in models.values()]
            writer.write(piece, [list(chain(*row)) for row in zip(*cells, strict=True)])
            count += len(piece)
    return count


def _show(found: dict[str, dict[str, Any]], part: str, screen: Screen) -> None:
    """Prints a line a run, or a line a figure where there are too many for columns."""
    names = list(dict.fromkeys(figure for one in found.values() for figure in one["metrics"]))
    if len(names) <= MAX_COLUMNS:
        rows = [
            [name, *(_cell(one["metrics"].get(figure)) for figure in names), str(one["rows"])]
            for name, one in found.items()
        ]
        screen.table(part, ["", *names, "rows"], rows, right=range(1, len(names) + 2))
        return
    rows = [[figure, *(_cell(one["metrics"].get(figure)) for one in found.values())] for figure in names]
    rows.append(["rows", *(str(one["rows"]) for one in found.values())])
    screen.table(part, ["", *found], rows, right=range(1, len(found) + 1))


def _cells(model: LoadedModel, piece: Any) -> list[list[Any]]:
    """Returns what one predictor adds to each row."""
    task = model.inputs.task
    table = task.encode(piece, model.inputs.tokenizer, labelled=False)
    records = model.evaluator.predict(model.model, table)
    return [task.added_cells(record, table, piece, row) for row, record in enumerate(records)]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
