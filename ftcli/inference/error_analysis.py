"""Error analysis: the worst errors of a model row by row, and which labels it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.console.console import Screen
    from ftcli.task.base import Task

EXCERPT = 70
MAX_TAGS = 4
MAX_LABELS = 12
"""A table of more columns does not fit a terminal."""
MAX_CONFUSIONS = 10


def worst_errors(
    task: Task, table: TokenTable, rows: Rows, records: Sequence[np.ndarray], count: int
) -> list[dict[str, Any]]:
    """Returns the rows that are predicted wrong with the most confidence, the worst first.

    Args:
        task: measures the errors.
        table: the rows as tokens, labelled.
        rows: the rows as they were read.
        records: what the task kept of each row's prediction, in row order; their shape is the task's own.
        count: most rows to return.

    Returns:
        `where`, `label`, `prediction` (None for a task that scores texts as they are), `error` (as the task measures it) and `text`, an excerpt, of each row.
    """
    errors = np.array([task.error(record, table, row) for row, record in enumerate(records)])
    order = [int(row) for row in np.argsort(-errors, kind="stable")[:count] if errors[row] > 0]
    found = []
    for row in order:
        line = task.prediction_row(records[row], table, rows, row)
        found.append({"where": rows.where(row), "label": line.get("label"), "prediction": line.get("prediction"),
                      "error": float(errors[row]), "text": _excerpt(task, rows, row)})  # fmt: skip
    return found


def _excerpt(task: Task, rows: Rows, row: int) -> str:
    values = [rows.columns[field.column][row] for field in task.fields() if not field.is_label]
    text = " | ".join(value if isinstance(value, str) else " ".join(map(str, value)) for value in values)
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT else text[: EXCERPT - 3] + "..."


def confusion(task: Task, lines: list[dict[str, Any]], labels: list[str]) -> np.ndarray | None:
    """Returns the confusion matrix of lines of a predictions file.

    Args:
        task: reads the lines.
        lines: of labelled rows.
        labels: names, by id.

    Returns:
        (num_labels, num_labels) int64 counts, row = label, column = prediction; None for a task without one.
    """
    from ftcli.metric._counts import ConfusionMatrix

    if task.confusion_kind is None:
        return None
    matrix = ConfusionMatrix(labels=labels)
    matrix.update(*task.read_back(lines)[task.confusion_kind])
    return matrix.counted().numpy().astype(int)


def show_errors(screen: Screen, errors: Sequence[dict[str, Any]], error_name: str) -> None:
    """Prints the worst errors; of lists of tags only those that differ, and no labels where there are none.

    Args:
        screen: where they go.
        errors: what `worst_errors` returned.
        error_name: what their `error` measures.
    """
    if errors and all(one["label"] is None and one["prediction"] is None for one in errors):
        shown = [(one["where"].rpartition("/")[2], f"{one['error']:.3f}", one["text"]) for one in errors]
        screen.table("worst rows", ["row", error_name, "text"], shown, right=(1,))
        return
    rows = []
    for one in errors:
        label, found = _differing(one["label"], one["prediction"])
        rows.append((one["where"].rpartition("/")[2], f"{one['error']:.3f}", label, found, one["text"]))
    if rows:
        screen.table("worst mistakes", ["row", error_name, "label", "prediction", "text"], rows, right=(1,))


def _differing(label: Any, found: Any) -> tuple[str, str]:
    if isinstance(label, list) and len(label) == len(found):
        pairs = [(str(a), str(b)) for a, b in zip(label, found, strict=True) if a != b]
        more = f" and {len(pairs) - MAX_TAGS} more" if len(pairs) > MAX_TAGS else ""
        return " ".join(a for a, _ in pairs[:MAX_TAGS]) + more, " ".join(b for _, b in pairs[:MAX_TAGS])
    return _short(label), _short(found)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else ", ".join(map(str, value)) or "none"


def show_confusion(screen: Screen, counts: np.ndarray | None, labels: list[str]) -> None:
    """Prints a confusion matrix, (num_labels, num_labels), or its largest mistakes where it does not fit the terminal."""
    if counts is not None and len(labels) > MAX_LABELS:
        pairs = ((int(counts[i, j]), i, j) for i, j in np.argwhere(counts) if i != j)
        worst = sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:MAX_CONFUSIONS]
        rows = [(labels[i], labels[j], str(n), f"{n / counts[i].sum():.1%}") for n, i, j in worst]
        if rows:
            columns = ["label", "predicted as", "times", "share of the label"]
            screen.table("most frequent confusions", columns, rows, right=(2, 3))
    elif counts is not None:
        rows = [(label, *own) for label, own in zip(labels, counts.tolist(), strict=True)]
        title = "confusion: rows are labels, columns predictions"
        screen.table(title, ["", *labels], rows, right=range(1, len(labels) + 1))
