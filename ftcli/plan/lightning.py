"""finetuning-scheduler's `new_optimizer` and `new_lr_scheduler`: a fixed table onto our choices.

A class path is looked up as text and never imported. What the table does not hold is refused, and so
is an argument that our choice cannot express.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
_KEYS = {
    "optimizer": ("new_optimizer", "optimizer_init", frozenset[str]()),
    "scheduler": (
        "new_lr_scheduler",
        "lr_scheduler_init",
        frozenset({"pl_lrs_cfg", "init_pg_lrs", "use_current_optimizer_pg_lrs"}),
    ),
}
"""Role -> (their key in a phase, the key of the class below it, keys that may stand beside the class)."""


@dataclass(slots=True)
class Translation:
    """What a class path became."""

    choice: str = ""
    """Empty where it could not be read."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Fields of the choice, by our names."""
    notes: list[str] = field(default_factory=list)
    """What was read differently than written."""
    problems: list[Problem] = field(default_factory=list)


def translate(role: str, value: Any, where: str) -> Translation:
    """Reads what stands below `new_optimizer` or `new_lr_scheduler`.

    Args:
        role: `optimizer` or `scheduler`.
        value: the YAML below the key, as plain values.
        where: `file:line`.
    """
    table = OPTIMIZERS if role == "optimizer" else SCHEDULERS
    own, init, beside = _KEYS[role]
    key = f"{where}: {own}"
    inner = value.get(init) if isinstance(value, dict) else None
    path = inner.get("class_path") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(path, str):
        hint = f"write {role}: {next(iter(table.values()))[0]}"
        return Translation(problems=[Problem(key, f"has no {init} with a class_path", hint)])
    if path not in table:
        message = f"{path} is none of the classes read here"
        return Translation(problems=[Problem(key, message, did_you_mean(path, table))])
    choice, names = table[path]
    found = Translation(choice, notes=[f"{where}: {path} is read as {role}={choice}"])
    arguments = inner.get("init_args") or {}
    if not isinstance(arguments, dict):
        found.problems.append(Problem(key, "init_args is no mapping", f"write {role}: {{name: {choice}}}"))
        arguments = {}
    for name, given in arguments.items():
        if name in names:
            found.fields[names[name]] = given
        elif name == "lr":
            found.notes.append(f"{where}: lr={given} of {path} is not used: write lr in the phase")
        elif name in LENGTHS:
            note = f"{where}: {name}={given} is not used: a curve is as long as its phase can be"
            found.notes.append(note)
        elif DEFAULTS.get(path, {}).get(name, _Missing) != given:
            message = f"{name}={given} cannot be said with {role}={choice}"
            found.problems.append(Problem(key, message, f"write {role}: {{name: {choice}}}"))
    for name in (name for name in value if name != init):
        _read_beside(name, found, key, init, beside)
    return found


def _read_beside(name: str, found: Translation, key: str, init: str, beside: frozenset[str]) -> None:
    """Notes or refuses a key beside the class."""
    if name not in beside:
        hint = did_you_mean(name, [init, *sorted(beside)])
        found.problems.append(Problem(key, f"there is no key {name!r}", hint))
    elif name == "init_pg_lrs":
        hint = "write lr in the phase; older_groups: keep"
        found.problems.append(Problem(key, "init_pg_lrs counts another tool's groups", hint))
    else:
        where = key.rpartition(": ")[0]
        found.notes.append(
            f"{where}: {name} is not used: curves here go by steps, older groups keep their lr"
        )


class _Missing:
    """No argument has this value."""
