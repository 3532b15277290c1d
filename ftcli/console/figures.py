"""Figures of training and evaluation as text on one line."""

from __future__ import annotations

import math
from typing import Any

MAX_SHOWN_LABELS = 4
"""Most labels whose figures a line of an evaluation shows one by one; metrics.jsonl always has all."""


def short_figures(event: dict[str, Any]) -> str:
    """Returns loss, lr (lowest to highest of the groups), speed and memory of a `train` event."""
    rates = sorted(set(event["lr"].values()))
    lr = f"{rates[-1]:.2e}" if len(rates) == 1 else f"{rates[0]:.1e} to {rates[-1]:.1e}"
    memory = event["memory_bytes"] / 2**30
    return (
        f"loss {event['loss']:.4f}  lr {lr}  {event['rows_per_s']:.0f} rows/s  "
        f"{event['tokens_per_s']:.0f} tokens/s  {memory:.1f} GiB"
    )


def shown_figures(figures: dict[str, float]) -> list[str]:
    """Returns `name value` for each figure.

    A metric with a figure for each of many labels, `metric/label`, becomes one text: lowest, highest and mean.

    Args:
        figures: name -> value; NaN where a label has no rows.
    """
    groups: dict[str, dict[str, float]] = {}
    for name, value in figures.items():
        metric, _, label = name.partition("/")
        groups.setdefault(metric, {})[label] = value
    shown = []
    for metric, values in groups.items():
        if len(values) <= MAX_SHOWN_LABELS:
            shown += [f"{metric}{'/' if label else ''}{label} {value:.4f}" for label, value in values.items()]
            continue
        known = {label: value for label, value in values.items() if not math.isnan(value)} or values
        low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        mean = sum(known.values()) / len(known)
        shown.append(
            f"{metric} of {len(values)} labels {known[low]:.4f} ({low}) to {known[high]:.4f} ({high}), mean {mean:.4f}"
        )
    return shown


def train_line(event: dict[str, Any], total_steps: int, *, show_eta: bool) -> str:
    """Returns a `train` event as one line; the phase is named where the learning rates are those of phases.

    Args:
        event: as metrics.jsonl has it.
        total_steps: of the run.
        show_eta: whether the time left follows from the seconds of a step: no later phase changes its speed.
    """
    left = (total_steps - event["step"]) * event["seconds_per_step"]
    eta = f"  ETA {int(left // 60)}:{int(left % 60):02d}" if left and show_eta else ""
    phase = f"  phase {event['phase']}" if any(name.startswith("phase") for name in event["lr"]) else ""
    return (
        f"step {event['step']}/{total_steps}{phase}  epoch {event['epoch']:.2f}  {short_figures(event)}{eta}"
    )
