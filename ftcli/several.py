"""evaluate and predict with several predictors at once."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from ftcli.rowfile import RowWriter, format_of, opened
from ftcli.scoring import evaluate_part, read_pieces, refuse_same
from ftcli.screen import Screen

if TYPE_CHECKING:
    from ftcli.finished import Finished
    from ftcli.model.shared import SharedWeights


def evaluate_several(
    models: dict[str, Finished], shared: SharedWeights, part: str, screen: Screen, *, mistakes: int = 5
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
    names = list(dict.fromkeys(figure for one in found.values() for figure in one["metrics"]))
    rows = [
        [name, *(_cell(one["metrics"].get(figure)) for figure in names), str(one["rows"])]
        for name, one in found.items()
    ]
    screen.table(part, ["", *names, "rows"], rows, right=range(1, len(names) + 2))
    screen.note(shared.line())
    return {"runs": [{"run": name, **one} for name, one in found.items()], "part": part,
            "weight_reads": shared.reads, "shared_bytes": shared.num_bytes}  # fmt: skip


def predict_several(models: dict[str, Finished], source: str, target: str) -> int:
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
        f"{name}.{column}" for name, one in models.items() for column in one.ground.task.added_columns()
    ]
    count = 0
    with opened(target) as file:
        writer = RowWriter(file, suffix, first, columns)
        for piece in chain([first], found):
            cells = [_cells(one, piece) for one in models.values()]
            writer.write(piece, [list(chain(*row)) for row in zip(*cells, strict=True)])
            count += len(piece)
    return count


def _cells(model: Finished, piece: Any) -> list[list[Any]]:
    """Returns what one predictor adds to each row."""
    task = model.ground.task
    table = task.encode(piece, model.ground.tokenizer, labelled=False)
    records = model.evaluator.predict(model.model, table)
    return [task.added_cells(record, table, piece, row) for row, record in enumerate(records)]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
