"""Pictures of results, PNG or SVG, the same bytes for the same figures."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ftcli.console.console import safe

MAX_NUMBERED = 48
"""Labels up to which the counts are written into the cells of a confusion matrix."""


def draw_confusion(counts: np.ndarray, labels: list[str], path: Path) -> None:
    """Writes the matrix as PNG or SVG, the share of each label's rows as colour, the counts in the cells.

    Args:
        counts: (num_labels, num_labels), row = label, column = prediction.
        labels: names, by id.
        path: of the file; its folder is created.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    size = max(3.6, 0.55 * len(labels) + 1.8)
    figure = Figure(figsize=(size + 0.8, size), dpi=120, layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if len(labels) <= MAX_NUMBERED:
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
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; the library would say so once for each.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def _plain(label: str) -> str:
    """A label is no formula: matplotlib would read what stands between dollars as one."""
    return safe(label).replace("$", "\\$")
