"""Draws the lr curves of a plan: as characters for a terminal, as PNG or SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ftcli.diagnostics.timeline import PhaseSpan, RunLength

BARS = " ▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 72, 6


def terminal_lines(timeline: Sequence[PhaseSpan], length: RunLength) -> list[str]:
    """Returns the highest lr of each phase over the run, `HEIGHT` lines tall, and a scale below.

    Args:
        timeline: of `build_timeline`.
        length: of the run.
    """
    widths = _column_widths(timeline)
    columns: list[float] = []
    scale = ""
    for span, width in zip(timeline, widths, strict=True):
        if width:
            columns += _highest_rates(span, width)
            scale += f"|{span.phase.index}"[:width].ljust(width)
    end = sum(s.steps for s in timeline) / length.steps_per_epoch
    return [
        *_bars(columns),
        f"{'phase':>8} {scale.rstrip()}",
        f"{'':>8} highest lr of the phase, 0 to {end:.4g} epochs",
    ]


def _column_widths(timeline: Sequence[PhaseSpan]) -> list[int]:
    """Returns how many of `WIDTH` characters each phase gets, at least one where it has steps."""
    total = sum(s.steps for s in timeline) or 1
    return [max(round(WIDTH * s.steps / total), 1) if s.steps else 0 for s in timeline]


def _highest_rates(span: PhaseSpan, width: int) -> list[float]:
    """Returns the highest lr in each of `width` equal parts of a phase."""
    rates = [lr for _, _, lr in span.curve]
    found = []
    for i in range(width):
        first = i * len(rates) // width
        last = max((i + 1) * len(rates) // width, first + 1)
        found.append(max(rates[first:last] or rates[-1:]))
    return found


def _bars(columns: Sequence[float]) -> list[str]:
    """Returns `HEIGHT` lines of block characters, one column for each value, the highest labelled."""
    highest = max(columns, default=0.0)
    lines = []
    for row in range(HEIGHT, 0, -1):
        cells = ""
        for value in columns:
            level = value / highest * HEIGHT if highest else 0.0
            filled = min(max(level - (row - 1), 0.0), 1.0)
            cells += BARS[round(filled * (len(BARS) - 1))]
        label = f"{highest:.1e}" if row == HEIGHT else ""
        lines.append(f"{label:>8} {cells}".rstrip())
    return lines


def draw(timeline: Sequence[PhaseSpan], length: RunLength, path: Path) -> None:
    """Writes each phase's lowest and highest lr over epochs.

    Args:
        timeline: of `build_timeline`.
        length: of the run.
        path: its suffix says PNG or SVG; the folder exists.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for number, span in enumerate(s for s in timeline if s.steps):
        colour = f"C{number % 10}"
        epochs = [step / length.steps_per_epoch for step, _, _ in span.curve]
        low, high = ([sample[i] for sample in span.curve] for i in (1, 2))
        share = f"{span.phase.num_trainable_parameters:,} parameters"
        axes.plot(epochs, high, color=colour, label=f"phase {span.phase.index}: {share}")
        if low != high:
            axes.plot(epochs, low, color=colour, linewidth=1, linestyle=":")
            axes.fill_between(epochs, low, high, color=colour, alpha=0.12)
        if number:
            axes.axvline(span.start / length.steps_per_epoch, color="0.7", linewidth=1, linestyle="--")
    axes.set_yscale("log")
    axes.set_xlabel("epochs" if length.rows is None else f"epochs of {length.steps_per_epoch} steps")
    axes.set_ylabel("lr of the groups, lowest to highest")
    axes.legend(fontsize=8, loc="best")
    # No date and no version, so that the same plan writes the same file.
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, metadata=metadata)
