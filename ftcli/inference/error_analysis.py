"""What a model got wrong: its worst mistakes row by row, and which labels it takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.console.console import Screen

EXCERPT = 70
MAX_TAGS = 4
MAX_LABELS = 12
"""A table of more columns does not fit a terminal; a picture holds up to four times as many."""


def worst_errors(
    task: Any, table: TokenTable, rows: Rows, records: Sequence[np.ndarray], count: int
) -> list[dict[str, Any]]:
    """Returns the rows predicted wrong with the most confidence, the worst first.

    Each has `where`, `label`, `prediction`, `error` (as the task measures it) and `text`, an excerpt.
    """
    errors = np.array([task.error(record, table, row) for row, record in enumerate(records)])
    order = [int(row) for row in np.argsort(-errors, kind="stable")[:count] if errors[row] > 0]
    found = []
    for row in order:
        line = task.prediction_row(records[row], table, rows, row)
        found.append({"where": rows.where(row), "label": line["label"], "prediction": line["prediction"],
                      "error": float(errors[row]), "text": _excerpt(task, rows, row)})  # fmt: skip
    return found


def _excerpt(task: Any, rows: Rows, row: int) -> str:
    values = [rows.columns[field.column][row] for field in task.fields() if not field.is_label]
    text = " | ".join(value if isinstance(value, str) else " ".join(map(str, value)) for value in values)
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT else text[: EXCERPT - 3] + "..."


def confusion(task: Any, lines: list[dict[str, Any]], labels: list[str]) -> np.ndarray | None:
    """Returns (num_labels, num_labels) counts, row = label, column = prediction; None where a task has no such labels."""
    from ftcli.metric._counts import ConfusionMatrix

    kind = next((kind for kind in ("classes", "ids") if kind in task.kinds), None)
    if kind is None:
        return None
    matrix = ConfusionMatrix(labels=labels)
    matrix.update(*task.read_back(lines)[kind])
    return matrix.counted().numpy().astype(int)


def show_errors(screen: Screen, mistakes: Sequence[dict[str, Any]], error_name: str) -> None:
    """Prints the worst mistakes; of lists of tags only those that differ.

    Args:
        screen: where they go.
        mistakes: what `worst_errors` returned.
        error_name: what their `error` measures.
    """
    rows = []
    for one in mistakes:
        label, found = _differing(one["label"], one["prediction"])
        rows.append((one["where"].rpartition("/")[2], f"{one['error']:.3f}", label, found, one["text"]))
    if rows:
        screen.table("worst mistakes", ["row", error_name, "label", "prediction", "text"], rows, right=(1,))


def _differing(label: Any, found: Any) -> tuple[str, str]:
    if isinstance(label, list) and len(label) == len(found):
        pairs = [(a, b) for a, b in zip(label, found, strict=True) if a != b]
        more = f" and {len(pairs) - MAX_TAGS} more" if len(pairs) > MAX_TAGS else ""
        return " ".join(a for a, _ in pairs[:MAX_TAGS]) + more, " ".join(b for _, b in pairs[:MAX_TAGS])
    return _short(label), _short(found)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else ", ".join(map(str, value)) or "none"


def show_confusion(screen: Screen, counts: np.ndarray | None, labels: list[str]) -> None:
    """Prints the matrix where it fits."""
    if counts is not None and len(labels) <= MAX_LABELS:
        rows = [(label, *own) for label, own in zip(labels, counts.tolist(), strict=True)]
        title = "confusion: rows are labels, columns predictions"
        screen.table(title, ["", *labels], rows, right=range(1, len(labels) + 1))


def draw_confusion(counts: np.ndarray, labels: list[str], path: Path) -> None:
    """Writes the matrix as PNG or SVG, the share of each label's rows as colour, the counts in the cells."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    size = max(3.6, 0.55 * len(labels) + 1.8)
    figure = Figure(figsize=(size + 0.8, size), dpi=120, layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if len(labels) <= 4 * MAX_LABELS:
            colour = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
    shown = [_plain(label) for label in labels]
    axes.set_xticks(
        range(len(labels)),
        shown,
        rotation=45 if len(labels) > 3 else 0,
        ha="right" if len(labels) > 3 else "center",
    )
    axes.set_yticks(range(len(labels)), shown)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    figure.colorbar(image, ax=axes, label="share of the label's rows")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def _plain(label: str) -> str:
    """A label is no formula: matplotlib would read what stands between dollars as one."""
    return label.replace("$", "\\$")
