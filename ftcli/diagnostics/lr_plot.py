"""The lr curves of a plan: characters for a terminal, PNG or SVG for a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ftcli.diagnostics.timeline import Length, PhaseSpan, spans

BARS = " ▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 72, 6


def terminal_lines(timeline: Sequence[PhaseSpan], length: Length) -> list[str]:
    """Returns the highest lr of each phase over the run, `HEIGHT` rows tall, and a scale below."""
    highest = max((lr for s in timeline for _, _, lr in s.curve), default=0.0)
    columns: list[float] = []
    marks = ""
    for span, width in zip(timeline, spans(timeline, WIDTH), strict=True):
        if not width:
            continue
        tops = [lr for _, _, lr in span.curve]
        for i in range(width):
            first, last = (
                i * len(tops) // width,
                max((i + 1) * len(tops) // width, i * len(tops) // width + 1),
            )
            columns.append(max(tops[first:last] or tops[-1:]))
        marks += f"|{span.phase.index}"[:width].ljust(width)
    lines = []
    for row in range(HEIGHT, 0, -1):
        cells = ""
        for value in columns:
            level = value / highest * HEIGHT if highest else 0.0
            filled = min(max(level - (row - 1), 0.0), 1.0)
            cells += BARS[round(filled * (len(BARS) - 1))]
        label = f"{highest:.1e}" if row == HEIGHT else ""
        lines.append(f"{label:>8} {cells}".rstrip())
    end = sum(s.steps for s in timeline) / length.steps_per_epoch
    return [
        *lines,
        f"{'phase':>8} {marks.rstrip()}",
        f"{'':>8} highest lr of the phase, 0 to {end:.4g} epochs",
    ]


def draw(timeline: Sequence[PhaseSpan], length: Length, path: Path) -> None:
    """Writes each phase's lowest and highest lr over epochs; the suffix of `path` says PNG or SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for number, span in enumerate(s for s in timeline if s.steps):
        colour = f"C{number % 10}"
        epochs = [step / length.steps_per_epoch for step, _, _ in span.curve]
        low, high = ([p[i] for p in span.curve] for i in (1, 2))
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
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, metadata=metadata)
