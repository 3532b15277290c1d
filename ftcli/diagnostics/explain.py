"""`ftcli explain`, from words to paper: config.json is enough; no weights, tokenizer or rows are needed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.batching.epochs import rows_of_length
from ftcli.config.check import check
from ftcli.config.compose import Composed
from ftcli.config.registry import lookup
from ftcli.config.schema import RunConfig
from ftcli.diagnostics.timeline import Length, PhaseSpan, follow, longest_run
from ftcli.errors import FtcliError, Problem, RunDirError
from ftcli.plan.memory_estimate import bytes_needed
from ftcli.run.inputs import RunInputs, build_task, rows_seed
from ftcli.run.model import ModelAndPlan
from ftcli.run.phase import build_lr_lambda
from ftcli.run.session import RunSession
from ftcli.runtime.decide import decide_runtime
from ftcli.trainer.position import total_steps

if TYPE_CHECKING:
    from ftcli.console.console import Screen

PIECES = 1000
"""Steps an epoch is drawn with where its rows are not at hand."""


def explain(composed: Composed, output: Path | None, screen: Screen, *, probe: bool) -> dict[str, Any]:
    """Prints the plan, its lr curves, its longest run and its memory; returns the same as one object.

    Args:
        composed: the configuration.
        output: PNG or SVG of the lr curves; None: only in the terminal.
        screen: where it is printed.
        probe: also measure one step of the largest phase on this machine.
    """
    from ftcli.diagnostics.lr_plot import draw, terminal_lines
    from ftcli.run.tables import show_plan

    check(composed, with_data=False)
    if output is not None:
        _require_picture(output)
    config = composed.config
    screen.notes(composed.notes)
    session = RunSession(config, meta=True, stub=True)
    inputs, built = session.inputs, session.built
    plan = built.plan
    show_plan(screen, plan)
    length, note = _length(config)
    timeline = follow(plan, length, build_lr_lambda)
    screen.notes([note, *_longest_lines(timeline, length, longest_run(plan, length))])
    screen.notes(terminal_lines(timeline, length))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        draw(timeline, length, output)
        screen.note(f"lr curves in {output}")
    tokens = inputs.tokenizer.max_length
    needs = _memory(config, inputs, built, tokens)
    _show_memory(screen, needs, config, tokens)
    measured = None
    if probe:
        from ftcli.diagnostics.benchmark_step import measured_step

        largest = max(plan.phases, key=lambda phase: phase.num_trainable_parameters).index
        measured = measured_step(config, inputs.hf_config, tokens, largest)
        screen.heading(
            f"measured: a step of phase {largest} takes {measured['seconds']:.3g} s ({measured['rows_per_s']:.3g} rows/s) on "
            f"{measured['device']} in {measured['precision']}; peak {measured['peak_bytes'] / 2**30:.2f} GiB"
        )
    return _object(plan.to_json(), timeline, length, longest_run(plan, length), needs, measured)


def _require_picture(output: Path) -> None:
    from ftcli.run.run_dir import require_writable

    if output.suffix not in (".png", ".svg"):
        raise RunDirError(
            Problem(f"--output {output}", "is neither .png nor .svg", "such as --output lr.svg")
        )
    require_writable(output)


def _length(config: RunConfig) -> tuple[Length, str]:
    """Returns the run's length, and how it was found."""
    rows, reason = _rows_at_hand(config)
    trainer = config.trainer
    why = f"no rows at hand{reason}"
    if rows is not None and trainer.token_budget is not None:
        rows, why = (
            None,
            "trainer.token_budget needs the rows' tokens (ftcli train --dry-run counts the steps)",
        )
    if rows is None:
        every = PIECES
        total = math.ceil(trainer.epochs * PIECES)
        note = f"{why}: lengths in epochs; the run is {trainer.epochs:g} {'epoch' if trainer.epochs == 1 else 'epochs'} at most"
        if trainer.max_steps is not None:
            note += f", or {trainer.max_steps} steps"
        return Length(PIECES, total, every, None), note
    per_epoch = math.ceil(rows / trainer.batch_size)
    total = total_steps(trainer, per_epoch)
    note = (
        f"{rows:,} rows / batch of {trainer.batch_size} = {per_epoch} steps an epoch; {total} steps at most"
    )
    return Length(per_epoch, total, trainer.eval_every_n_steps or per_epoch, rows), note


def _rows_at_hand(config: RunConfig) -> tuple[int | None, str]:
    """Counts the training rows where they lie on this machine, or says why not; asks no hub."""
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


def _longest_lines(timeline: list[PhaseSpan], length: Length, longest: int) -> list[str]:
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


def _memory(
    config: RunConfig, inputs: RunInputs, built: ModelAndPlan, tokens: int
) -> list[dict[str, int]]:
    rows = _rows_a_pass(config, tokens)
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


def _rows_a_pass(config: RunConfig, tokens: int) -> int:
    """Returns the rows of a forward pass whose rows all have `tokens` tokens; `auto` is the whole batch."""
    batch = rows_of_length(config.trainer, tokens)
    return min(config.trainer.stated_micro_batch or batch, batch)


def _show_memory(screen: Screen, needs: list[dict[str, int]], config: RunConfig, tokens: int) -> None:
    rows = _rows_a_pass(config, tokens)
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
    length: Length,
    longest: int,
    needs: list[dict[str, int]],
    measured: Any,
) -> dict[str, Any]:
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
