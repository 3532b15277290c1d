"""`ftcli list`: what there is to choose from, and which PEFT methods were tried on which architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftcli.config.listing import catalogue
from ftcli.errors import ConfigError, Problem, did_you_mean
from ftcli.peft._compatibility import failing, support_table

if TYPE_CHECKING:
    from ftcli.console.console import Screen


def show_choices(what: str | None, screen: Screen) -> dict[str, Any]:
    """Prints a table for each kind of choice, each name with the first line of its file; returns the same.

    Args:
        what: `recipe`, a role or `metric`; None: all of them.
        screen: where they are printed.

    Raises:
        ConfigError: a name of nothing that can be listed.
    """
    listed = catalogue()
    if what is not None and what not in listed:
        raise ConfigError(Problem(what, "is nothing that can be listed", did_you_mean(what, listed)))
    shown = {what: listed[what]} if what else listed
    for kind, choices in shown.items():
        if kind == "peft":
            rows = [(choice, text, failing(choice)) for choice, text in choices.items()]
            screen.table(kind, ["name", "what", "tried, and does not train"], rows)
        else:
            screen.table(kind, ["name", "what"], choices.items())
    return {"peft": shown["peft"], "support": _show_support(screen)} if what == "peft" else shown


def _show_support(screen: Screen) -> dict[str, Any]:
    """Prints what the PEFT methods were tried on, and returns the recorded results."""
    table = support_table()
    versions = ", ".join(f"{package} {version}" for package, version in table["versions"].items())
    tried = sorted({name for own in table["methods"].values() for name in own["architectures"]})
    screen.note(f"tried on {table['date']} with {versions}: {', '.join(tried)}, and every task")
    return table
