"""`ftcli explain`: the plan of a run before it is trained. config.json is enough: no weights, tokenizer or rows are needed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.batching.epochs import rows_of_length
from ftcli.config.check import check
from ftcli.config.compose import Composed
from ftcli.config.registry import lookup
from ftcli.config.schema import RunConfig
from ftcli.diagnostics.timeline import PhaseSpan, RunLength, build_timeline, longest_run
from ftcli.errors import FtcliError
from ftcli.inference.output_file import drawing, require_picture
from ftcli.plan.memory_estimate import bytes_needed
from ftcli.run.inputs import RunInputs, build_task, rows_seed
from ftcli.run.model import ModelAndPlan
from ftcli.run.phase import build_lr_lambda
from ftcli.run.session import RunSession
from ftcli.runtime.decide import decide_runtime
from ftcli.trainer.position import total_steps

if TYPE_CHECKING:
    from ftcli.console.console import Screen
    from ftcli.plan.plan import Plan

ASSUMED_STEPS_PER_EPOCH = 1000
"""Resolution of the lr curves where the number of training rows is not known."""


def explain(composed: Composed, output: Path | None, screen: Screen, *, probe: bool) -> dict[str, Any]:
    """Prints the plan, its lr curves, its longest run and its memory; returns the same as one object.

    Args:
        composed: the configuration.
        output: PNG or SVG of the lr curves; None: only in the terminal.
        screen: where it is printed.
        probe: also measure one step of the largest phase on this machine.

    Raises:
        ConfigError: a setting that is wrong, an `output` that is neither PNG nor SVG, or a probe of a task whose rows cannot be drawn at random.
        RunDirError: `output` cannot be written.
    """
    from ftcli.run.tables import show_plan

    check(composed, with_data=False)
    if output is not None:
        require_picture(output)
    config = composed.config
    screen.notes(composed.notes)
    session = RunSession(config, meta=True, stub=True)
    inputs, plan = session.inputs, session.built.plan
    show_plan(screen, plan)
    length, note = _length(config)
    timeline, longest = build_timeline(plan, length, build_lr_lambda), longest_run(plan, length)
    screen.notes([note, *_longest_lines(timeline, length, longest)])
    _show_curves(screen, timeline, length, output)
    tokens = inputs.tokenizer.max_length
    needs = _memory(config, inputs, session.built, tokens)
    _show_memory(screen, needs, config, tokens)
    measured = _measure(screen, config, inputs, plan, tokens) if probe else None
    return _object(plan.to_json(), timeline, length, longest, needs, measured)


def _show_curves(screen: Screen, timeline: list[PhaseSpan], length: RunLength, output: Path | None) -> None:
    from ftcli.diagnostics.lr_plot import draw, terminal_lines

    screen.notes(terminal_lines(timeline, length))
    if output is not None:
        with drawing(output):
            draw(timeline, length, output)
        screen.note(f"lr curves in {output}")


def _measure(screen: Screen, config: RunConfig, inputs: RunInputs, plan: Plan, tokens: int) -> dict[str, Any]:
    """Measures a step of the phase with the most trainable parameters, and prints it."""
    from ftcli.diagnostics.benchmark_step import measured_step

    largest = max(plan.phases, key=lambda phase: phase.num_trainable_parameters).index
    measured = measured_step(config, inputs.hf_config, tokens, largest)
    screen.heading(
        f"measured: a step of phase {largest} takes {measured['seconds']:.3g} s ({measured['rows_per_s']:.3g} rows/s) on "
        f"{measured['device']} in {measured['precision']}; peak {measured['peak_bytes'] / 2**30:.2f} GiB"
    )
    return measured


def _length(config: RunConfig) -> tuple[RunLength, str]:
    """Returns the run's length, and a line that says how it was found."""
    rows, reason = _count_rows(config)
    trainer = config.trainer
    if rows is None:
        return _length_in_epochs(config, f"no rows at hand{reason}")
    if trainer.token_budget is not None:
        why = "trainer.token_budget needs the rows' tokens (ftcli train --dry-run counts the steps)"
        return _length_in_epochs(config, why)
    per_epoch = math.ceil(rows / trainer.batch_size)
    total = total_steps(trainer, per_epoch)
    note = (
        f"{rows:,} rows / batch of {trainer.batch_size} = {per_epoch} steps an epoch; {total} steps at most"
    )
    return RunLength(per_epoch, total, trainer.eval_every_n_steps or per_epoch, rows), note


def _length_in_epochs(config: RunConfig, why: str) -> tuple[RunLength, str]:
    trainer = config.trainer
    total = math.ceil(trainer.epochs * ASSUMED_STEPS_PER_EPOCH)
    note = f"{why}: lengths in epochs; the run is {trainer.epochs:g} {'epoch' if trainer.epochs == 1 else 'epochs'} at most"
    if trainer.max_steps is not None:
        note += f", or {trainer.max_steps} steps"
    return RunLength(ASSUMED_STEPS_PER_EPOCH, total, ASSUMED_STEPS_PER_EPOCH, None), note


def _count_rows(config: RunConfig) -> tuple[int | None, str]:
    """Counts the training rows if they are on this machine, or says why it cannot; the hub is not asked."""
    data = config.data
    bundled = getattr(data, "bundled", None)
    if data.path is None and data.files.train is None and bundled is None:
        return None, ""
    try:
        fields = build_task(config).fields()
        parts = lookup("data", config.uses["data"]).build(data, seed=rows_seed(config), fields=fields)
    except FtcliError as error:
        return None, f" ({error.problems[0].key}: {error.problems[0].message})"
    return len(parts.train) if parts.train is not None else None, ""


def _longest_lines(timeline: list[PhaseSpan], length: RunLength, longest: int) -> list[str]:
    lines = [f"longest possible run: {longest / length.steps_per_epoch:.4g} epochs"
             + (f", {longest} steps" if length.rows is not None else "")]  # fmt: skip
    for span in timeline:
        if not span.steps:
            lines.append(f"phase {span.phase.index} begins only if earlier phases end before their counts")
        elif span.by_scores:
            lines.append(
                f"phase {span.phase.index} is drawn at its earliest end, after "
                f"{span.steps / length.steps_per_epoch:.4g} epochs; scores may let it go on"
            )
    return lines


def _memory(config: RunConfig, inputs: RunInputs, built: ModelAndPlan, tokens: int) -> list[dict[str, int]]:
    """Returns the bytes that each phase needs, by what needs them (weights, gradients, optimizer, activations)."""
    rows = _rows_per_forward(config, tokens)
    precision = config.trainer.precision.value
    if precision == "auto":
        precision = decide_runtime(config, tokens).precision
    return [
        bytes_needed(
            built.anatomy,
            phase,
            inputs.hf_config,
            rows=rows,
            tokens=tokens,
            precision=precision,
            checkpointing=config.trainer.gradient_checkpointing,
        )  # fmt: skip
        for phase in built.plan.phases
    ]


def _rows_per_forward(config: RunConfig, tokens: int) -> int:
    """Returns the rows of a forward pass, all of `tokens` tokens; a micro-batch size of `auto` counts as the whole batch."""
    batch = rows_of_length(config.trainer, tokens)
    return min(config.trainer.stated_micro_batch or batch, batch)


def _show_memory(screen: Screen, needs: list[dict[str, int]], config: RunConfig, tokens: int) -> None:
    rows = _rows_per_forward(config, tokens)
    table = [
        (index, *(_mib(need[name]) for name in need), _mib(sum(need.values())))
        for index, need in enumerate(needs)
    ]
    columns = ["phase", "weights", "gradients", "optimizer", "activations (estimate)", "sum"]
    screen.table(f"memory in MiB, {rows} rows of {tokens} tokens", columns, table, right=range(6))


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f}"


def _object(
    plan: dict[str, Any],
    timeline: list[PhaseSpan],
    length: RunLength,
    longest: int,
    needs: list[dict[str, int]],
    measured: dict[str, Any] | None,
) -> dict[str, Any]:
    """Returns the plan as JSON, with memory and timeline added to each phase and the run's length to the whole.

    Args:
        plan: of `Plan.to_json`.
        timeline: of `build_timeline`.
        length: of the run.
        longest: steps of the longest possible run.
        needs: bytes of each phase, by what needs them.
        measured: of `measured_step`; None without a probe.
    """
    by_phase = {span.phase.index: span for span in timeline}
    for phase, need in zip(plan["phases"], needs, strict=True):
        span = by_phase.get(phase["index"])
        phase["memory_bytes"] = need
        phase["start_epoch"] = span and span.start / length.steps_per_epoch
        phase["longest_epochs"] = span and span.longest / length.steps_per_epoch
        phase["lr_curve"] = [[step / length.steps_per_epoch, low, high] for step, low, high in span.curve] if span else []  # fmt: skip
    total = {
        "epochs": longest / length.steps_per_epoch,
        "steps": longest if length.rows is not None else None,
    }
    return {**plan, "rows": length.rows, "longest": total, "probe": measured}
