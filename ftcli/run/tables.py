"""Tables of a plan, of a result and of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ftcli.errors import typed_words

if TYPE_CHECKING:
    from ftcli.batching.token_table import TokenTable
    from ftcli.config.schema import TrainerConfig
    from ftcli.console.console import Screen
    from ftcli.plan.patterns import Hit
    from ftcli.plan.plan import Group, Phase, Plan
    from ftcli.run.run_dir import RunDir


MANY_WINDOWS = 4
"""Windows a row from which the memory of a batch is another than its number of rows lets expect."""


def windows_hint(table: TokenTable, trainer: TrainerConfig) -> list[str]:
    """Returns a line where rows are cut into so many windows that a batch of them is far larger than it looks."""
    mean = (len(table.offsets) - 1) / max(1, len(table))
    if trainer.micro_batch_size is not None or table.groups is None or mean < MANY_WINDOWS:
        return []
    fitting = max(1, round(trainer.batch_size / mean))
    return [
        f"a batch of {trainer.batch_size} rows is about {mean * trainer.batch_size:,.0f} sequences of up to {table.longest} "
        f"tokens: if memory is short, trainer.micro_batch_size={fitting} takes about {fitting * mean:,.0f} at a time "
        "and trains the same"
    ]


def show_plan(screen: Screen, plan: Plan) -> None:
    """Prints, for each phase, patterns with their hits, groups with lr and decay, and what ends it."""
    before: list[Group] = []
    for phase in plan.phases:
        if len(plan.phases) > 1:
            screen.heading(phase_line(plan, phase))
        rows = _hit_rows(phase.hits)
        screen.table(
            f"phase {phase.index}: what the patterns hit",
            ["action", "pattern", "tensors", "parameters"],
            rows,
            right=(2, 3),
        )
        older = [g for g in phase.groups if g in before]
        groups = [
            (g.name, len(g.params), f"{g.lr:.6g}", f"{g.weight_decay:g}")
            for g in phase.groups
            if g not in older
        ]
        if older:
            rates = [g.lr for g in older]
            span = f"{min(rates):.6g}" if len(set(rates)) == 1 else f"{min(rates):.6g} to {max(rates):.6g}"
            groups.insert(0, (f"{len(older)} groups as before", sum(len(g.params) for g in older), span, ""))
        screen.table(
            f"phase {phase.index}: groups",
            ["group", "tensors", "lr", "weight decay"],
            groups,
            right=(1, 2, 3),
        )
        before = list(phase.groups)
    share = plan.trainable_share
    screen.heading(
        f"{plan.num_trainable_parameters:,} of {plan.num_parameters:,} parameters train ({share:.2%})"
    )
    screen.notes(plan.decisions)
    for first, *others in plan.tied:
        screen.note(f"tied: {first} = {', '.join(others)}")


def _hit_rows(hits: Sequence[Hit]) -> list[tuple[object, ...]]:
    """Returns a row a pattern; names written out are one row together."""
    rows: list[tuple[object, ...]] = []
    exact: dict[str, list[Hit]] = {}
    for hit in hits:
        if hit.names == (hit.pattern,):
            exact.setdefault(hit.action, []).append(hit)
        else:
            rows.append((hit.action, hit.pattern, len(hit.names), f"{hit.numel:,}"))
    named = [(action, f"{found[0].pattern} ..." if len(found) > 1 else found[0].pattern, len(found), f"{sum(h.numel for h in found):,}")
             for action, found in exact.items()]  # fmt: skip
    return [*named, *rows]


def phase_line(plan: Plan, phase: Phase) -> str:
    """Returns a phase in one line: size, optimizer, curve, end."""
    share = phase.num_trainable_parameters / max(plan.num_parameters, 1)
    length = phase.scheduler.config.warmup
    warmup = f", warmup {length}" if length not in ("0", "0st") else ""
    return (
        f"phase {phase.index} of 0-{len(plan.phases) - 1}: {phase.num_trainable_parameters:,} parameters train "
        f"({share:.1%}); {phase.optimizer.name}, {phase.scheduler.name}{warmup}; ends {phase.end}"
    )


def show_phases(screen: Screen, phases: list[dict[str, Any]]) -> None:
    """Prints the closing table of a run of several phases."""
    rows = [
        (
            p["phase"],
            f"{p['trainable_parameters']:,}",
            p["steps"],
            f"{p['epochs']:.2f}",
            "" if p["best"] is None else f"{p['monitor']} {p['best']:.4f}",
            f"{p['wall_seconds']:.0f} s",
            p["ended"],
        )
        for p in phases
    ]
    columns = ["phase", "trained", "steps", "epochs", "best in it", "time", "ended by"]
    screen.table("phases", columns, rows, right=(0, 1, 2, 3, 5))


def show_result(screen: Screen, result: dict[str, Any], run: RunDir) -> None:
    """Prints the closing table and the next words to type."""
    rows = [(f"validation {name}", f"{value:.4f}") for name, value in result["metrics"].items()]
    rows += [(f"test {name}", f"{value:.4f}") for name, value in (result["test"] or {}).items()]
    rows += [
        (
            "best step",
            f"{'none' if result['best_step'] is None else result['best_step']} of {result['steps']}",
        ),
        ("ended by", result["ended"]),
        ("trained", f"{result['trainable_parameters']:,} of {result['total_parameters']:,} parameters"),
        (
            "speed",
            f"{result['train']['rows_per_s'] or 0:.0f} rows/s, {result['train']['tokens_per_s'] or 0:.0f} tokens/s",
        ),
        ("wall time", f"{result['wall_seconds']:.0f} s, start-up left out"),
        ("run directory", str(run.path)),
    ]
    if len(result["phases"]) > 1:
        show_phases(screen, result["phases"])
    which = "last" if result["best_step"] is None else "best"
    screen.table(f"result of the {which} checkpoint", ["", ""], rows)
    screen.note(next_words(run))


def next_words(run: RunDir) -> str:
    """Returns what to type after a run."""
    typed = typed_words(run.path)
    return f"next: ftcli evaluate {typed}   ftcli predict {typed} --input FILE --output FILE"
