"""Draws the two curves of overfit-batch: as PNG, and as characters for a terminal."""

from __future__ import annotations

import math
from pathlib import Path

from ftcli.diagnostics.overfit import Verdict

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def spark(values: list[float]) -> str:
    """Returns one line of block characters, `▁` for the lowest value and `█` for the highest; NaN counts as the lowest.

    More than `WIDTH` values are sampled evenly.
    """
    if len(values) > WIDTH:
        values = [values[round(i * (len(values) - 1) / (WIDTH - 1))] for i in range(WIDTH)]
    known = [v for v in values if not math.isnan(v)] or [0.0]
    low, high = min(known), max(known)
    values = [low if math.isnan(v) else v for v in values]
    span = (high - low) or 1.0
    return "".join(BARS[min(int((v - low) / span * len(BARS)), len(BARS) - 1)] for v in values)


def terminal_lines(verdict: Verdict) -> list[str]:
    """Returns each curve with its first and last value."""
    losses = [loss for _, loss, _ in verdict.batch_curve]
    scores = [score for _, score in verdict.validation_curve]
    return [
        f"batch loss          {losses[0]:.4f} {spark(losses)} {losses[-1]:.4f}  (floor {verdict.floor:.4f})",
        f"validation {verdict.score_name:<8} {scores[0]:.4f} {spark(scores)} {scores[-1]:.4f}",
    ]


def draw(verdict: Verdict, path: Path) -> None:
    """Writes the batch's loss and the validation score over steps as PNG or SVG.

    Args:
        verdict: with both curves.
        path: its suffix says PNG or SVG; the folder exists.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    left = figure.subplots()
    steps = [step for step, _, _ in verdict.batch_curve]
    left.plot(steps, [loss for _, loss, _ in verdict.batch_curve], color="tab:blue", label="batch loss")
    left.axhline(verdict.floor, color="tab:blue", linestyle=":", linewidth=1, label="floor")
    left.set_xlabel("step")
    left.set_ylabel("loss of the batch", color="tab:blue")
    right = left.twinx()
    right.plot(
        *zip(*verdict.validation_curve, strict=True),
        color="tab:orange",
        marker="o",
        markersize=3,
        label="validation",
    )
    right.set_ylabel(f"validation {verdict.score_name}", color="tab:orange")
    word = "PASS" if verdict.passed else "FAIL"
    left.set_title(f"overfit-batch: {word} after {verdict.steps} steps")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
