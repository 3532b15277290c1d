"""ftcli explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftcli.cli.options import Json, Quiet, Words


def explain(
    words: Words = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG or SVG file for the lr curves.")
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Measure one step on this machine.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Print the whole plan before training: phases, groups, rates, curves, longest run, memory.

    A config.json is enough: no weights, tokenizer or rows are needed.

    Example: ftcli explain recipe=rte-gradual -o lr.svg
    """
    from ftcli.config.compose import load
    from ftcli.console.console import Screen
    from ftcli.diagnostics.explain import explain as explain_run

    screen = Screen(quiet=quiet, as_json=as_json)
    screen.result(explain_run(load(words or []), output, screen, probe=probe))
