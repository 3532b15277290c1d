"""Tables of a plan, of a result and of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftcli.cli.screen import Screen
    from ftcli.plan.plan import Plan
    from ftcli.rundir import RunDir


def show_plan(screen: Screen, plan: Plan) -> None:
    """Prints, for each phase, patterns with their hits and groups with lr and decay."""
    for phase in plan.phases:
        rows = [(hit.action, hit.pattern, len(hit.names), f"{hit.numel:,}") for hit in phase.hits]
        screen.table(
            f"phase {phase.index}: what the patterns hit",
            ["action", "pattern", "tensors", "parameters"],
            rows,
            right=(2, 3),
        )
        groups = [(g.name, len(g.params), f"{g.lr:g}", f"{g.weight_decay:g}") for g in phase.groups]
        screen.table(
            f"phase {phase.index}: groups",
            ["group", "tensors", "lr", "weight decay"],
            groups,
            right=(1, 2, 3),
        )
    share = plan.trainable_share
    screen.heading(
        f"{plan.num_trainable_parameters:,} of {plan.num_parameters:,} parameters train ({share:.2%})"
    )
    screen.notes(plan.decisions)
    for first, *others in plan.tied:
        screen.note(f"tied: {first} = {', '.join(others)}")


def show_result(screen: Screen, result: dict[str, Any], run: RunDir) -> None:
    """Prints the closing table and the next words to type."""
    rows = [(f"validation {name}", f"{value:.4f}") for name, value in result["metrics"].items()]
    rows += [(f"test {name}", f"{value:.4f}") for name, value in (result["test"] or {}).items()]
    rows += [
        ("best step", f"{result['best_step']} of {result['steps']}"),
        ("ended by", result["ended"]),
        ("trained", f"{result['trainable_parameters']:,} of {result['total_parameters']:,} parameters"),
        (
            "speed",
            f"{result['train']['rows_per_s'] or 0:.0f} rows/s, {result['train']['tokens_per_s'] or 0:.0f} tokens/s",
        ),
        ("wall time", f"{result['wall_seconds']:.0f} s"),
        ("run directory", str(run.path)),
    ]
    screen.table("result of the best checkpoint", ["", ""], rows)
    screen.note(f"next: ftcli evaluate {run.path}   ftcli predict {run.path} --input FILE --output FILE")
