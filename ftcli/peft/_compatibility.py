"""Architectures and tasks that each PEFT method trains: the table of `ftcli/peft/support.json`, made by running every pair.

`make support` (benchmarks/peft_support.py) writes it. Methods of other packages are not in it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ftcli.errors import ConfigError, Problem

REFUSED = "refused: "
"""Begins a reason that the method's own builder gave; with other settings, such as target modules, it may accept."""
FILE = Path(__file__).parent / "support.json"


@cache
def support_table() -> dict[str, Any]:
    """Returns date, versions, and method -> `architectures` and `tasks`, name -> why it fails, "" where it works."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def failing(method: str) -> str:
    """Returns the architectures and tasks that a method was tried on and does not train, as one text."""
    own = support_table()["methods"].get(method)
    if own is None:
        return ""
    return ", ".join(name for part in ("architectures", "tasks") for name, why in own[part].items() if why)


def consult(method: str, model_type: str, task: str) -> list[str]:
    """Returns a line if a method was never tried with an architecture.

    Args:
        method: choice of the role `peft`.
        model_type: the architecture, as in the model's config.json.
        task: choice of the role `task`.

    Raises:
        ConfigError: it was tried and does not work.
    """
    own = support_table()["methods"].get(method)
    if method == "none" or own is None:
        return []
    for name, part in ((model_type, own["architectures"]), (task, own["tasks"])):
        if part.get(name) and not part[name].startswith(REFUSED):
            message = f"peft={method} does not work with {name}: {part[name]}"
            raise ConfigError(Problem("peft", message, _others(name)))
    if model_type in own["architectures"]:
        return []
    return [
        f"peft={method} was never tried on {model_type} models: ftcli overfit-batch with the same words tells"
    ]


def _others(name: str) -> str:
    methods = support_table()["methods"]
    fine = [m for m, own in methods.items() if (own["architectures"] | own["tasks"]).get(name) == ""]
    return f"type peft=none, or one that does: {', '.join(fine)}"
