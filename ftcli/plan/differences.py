"""In what two plans train differently, from plan.json: a resume refuses a plan that changed."""

from __future__ import annotations

from typing import Any


def plan_differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Returns a line for everything in which two plans, as JSON, train differently.

    When scores end a phase may differ: `trainer.patience` may be changed as a run is resumed.

    Args:
        then: plan.json of the run, what `Plan.to_json` gave.
        now: the same of the plan as it would be made now.
    """
    lines = []
    if len(then["phases"]) != len(now["phases"]):
        lines.append(f"{len(then['phases'])} phases were planned, there are {len(now['phases'])} now")
    for index, (old, new) in enumerate(zip(then["phases"], now["phases"], strict=False)):
        before = len(lines)
        for key in ("trainable", "optimizer", "optimizer_values", "scheduler", "scheduler_values", "monitor", "mode",
                    "transition", "groups", "trigger"):  # fmt: skip
            was, is_now = old[key], new[key]
            if key == "optimizer_values" and is_now.get("scale_lr"):
                # Plans of one phase were once written with the lr before scaling; the groups hold the one used.
                was, is_now = ({k: v for k, v in values.items() if k != "lr"} for values in (was, is_now))
            if key == "trigger":
                free = ("patience", "min_delta", "plateau_slope", "plateau_window")
                was, is_now = ({k: v for k, v in values.items() if k not in free} for values in (was, is_now))
            # Groups follow from what trains and from the rates: said only where nothing else is.
            if was != is_now and (key != "groups" or len(lines) == before):
                lines.append(f"phase {index}: {_difference(key, was, is_now)}")
    return lines


def _difference(key: str, was: Any, is_now: Any) -> str:
    if key == "trainable":
        gone, come = sorted(set(was) - set(is_now)), sorted(set(is_now) - set(was))
        parts = [f"{len(names)} tensors {word}, such as {names[0]}" for names, word in ((come, "more train"), (gone, "fewer train")) if names]  # fmt: skip
        return "; ".join(parts)
    if isinstance(was, dict):
        keys = [k for k in is_now if was.get(k) != is_now[k]]
        return ", ".join(f"{key}.{k} was {was.get(k)}, is {is_now[k]}" for k in keys)
    if key == "groups":
        rates = [
            {g["name"]: (g.get("lr"), g.get("weight_decay")) for g in groups} for groups in (was, is_now)
        ]
        changed = [name for name in rates[1] if rates[0].get(name) != rates[1][name]]
        name = changed[0] if changed else "groups"
        return f"{name} was {rates[0].get(name)}, is {rates[1].get(name)} (lr, weight decay)"
    return f"{key} was {was}, is {is_now}"
