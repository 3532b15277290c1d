"""finetuning-scheduler's `new_optimizer` and `new_lr_scheduler`: a fixed table onto our choices.

A class path is looked up as text and never imported. What the table does not hold is refused, and so
is an argument that our choice cannot express.
"""

from __future__ import annotations

from typing import Any

from ftcli.errors import Problem, did_you_mean

OPTIMIZERS: dict[str, tuple[str, dict[str, str]]] = {
    "torch.optim.AdamW": ("adamw", {"weight_decay": "weight_decay", "betas": "betas", "eps": "eps", "fused": "fused"}),
    "torch.optim.SGD": ("sgd", {"weight_decay": "weight_decay", "momentum": "momentum", "nesterov": "nesterov"}),
}  # fmt: skip
"""Class path -> (our choice, its arguments by our names). `lr` goes by the phase."""
SCHEDULERS: dict[str, tuple[str, dict[str, str]]] = {
    "torch.optim.lr_scheduler.ConstantLR": ("constant", {}),
    "torch.optim.lr_scheduler.CosineAnnealingLR": ("cosine", {}),
    "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts": ("cosine-restarts", {}),
    "torch.optim.lr_scheduler.LinearLR": ("linear", {}),
    "torch.optim.lr_scheduler.PolynomialLR": ("polynomial", {"power": "power"}),
    "torch.optim.lr_scheduler.ReduceLROnPlateau": (
        "plateau",
        {"factor": "factor", "patience": "patience", "threshold": "threshold", "threshold_mode": "threshold_mode", "cooldown": "cooldown"},
    ),
    "transformers.get_constant_schedule": ("constant", {}),
    "transformers.get_cosine_schedule_with_warmup": ("cosine", {}),
    "transformers.get_linear_schedule_with_warmup": ("linear", {}),
}  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "torch.optim.lr_scheduler.ConstantLR": {"factor": 1.0},
    "torch.optim.lr_scheduler.CosineAnnealingLR": {"eta_min": 0},
    "torch.optim.lr_scheduler.LinearLR": {"start_factor": 1.0, "end_factor": 0.0},
    "torch.optim.lr_scheduler.ReduceLROnPlateau": {"mode": "min", "min_lr": 0},
    "torch.optim.SGD": {"dampening": 0, "maximize": False},
    "torch.optim.AdamW": {"amsgrad": False, "maximize": False},
}
"""Arguments that may be written when they say what ours does anyway."""
LENGTHS = ("T_max", "T_0", "T_mult", "total_iters", "num_training_steps", "num_warmup_steps")
"""Lengths, mostly in epochs: not used, for a curve here is as long as its phase can be."""
_INIT = {"optimizer": "optimizer_init", "scheduler": "lr_scheduler_init"}


def translated(role: str, value: Any, where: str) -> tuple[str, dict[str, Any], list[str], list[Problem]]:
    """Returns (our choice or ``, its fields, what was read differently, problems).

    Args:
        role: `optimizer` or `scheduler`.
        value: what stands below `new_optimizer` or `new_lr_scheduler`, as plain values.
        where: `file:line`.
    """
    table = OPTIMIZERS if role == "optimizer" else SCHEDULERS
    key, init = f"{where}: new_{'optimizer' if role == 'optimizer' else 'lr_scheduler'}", _INIT[role]
    inner = value.get(init) if isinstance(value, dict) else None
    path = inner.get("class_path") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(path, str):
        return (
            "",
            {},
            [],
            [
                Problem(
                    key, f"has no {init} with a class_path", f"write {role}: {next(iter(table.values()))[0]}"
                )
            ],
        )
    if path not in table:
        return (
            "",
            {},
            [],
            [Problem(key, f"{path} is none of the classes read here", did_you_mean(path, table))],
        )
    choice, names = table[path]
    fields: dict[str, Any] = {}
    notes = [f"{where}: {path} is read as {role}={choice}"]
    problems = []
    for name, given in (inner.get("init_args") or {}).items():
        if name in names:
            fields[names[name]] = given
        elif name == "lr":
            notes.append(f"{where}: lr={given} of {path} is not used: write lr in the phase")
        elif name in LENGTHS:
            notes.append(f"{where}: {name}={given} is not used: a curve is as long as its phase can be")
        elif DEFAULTS.get(path, {}).get(name, _Missing) != given:
            problems.append(Problem(key, f"{name}={given} cannot be said with {role}={choice}", f"write {role}: {{name: {choice}}}"))  # fmt: skip
    own = {"pl_lrs_cfg", "init_pg_lrs", "use_current_optimizer_pg_lrs"} if role == "scheduler" else set()
    for name in value:
        if name == init:
            continue
        if name not in own:
            problems.append(
                Problem(key, f"there is no key {name!r}", did_you_mean(name, [init, *sorted(own)]))
            )
        elif name == "init_pg_lrs":
            problems.append(Problem(key, "init_pg_lrs counts another tool's groups", "write lr in the phase; older_groups: keep"))  # fmt: skip
        else:
            notes.append(f"{where}: {name} is not used: curves here go by steps, older groups keep their lr")
    return choice, fields, notes, problems


class _Missing:
    """No argument has this value."""
