"""ftcli runs, ftcli compare."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ftcli.cli.options import Json


class Split(StrEnum):
    """Whose saved predictions are compared."""

    validation = "validation"
    test = "test"


def runs(
    runs_dir: Annotated[
        Path | None, typer.Option("--runs-dir", metavar="DIR", help="Where runs are. Default: runs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the runs, newest first: state, best monitored figure, steps, time, model, data.

    Example: ftcli runs
    """
    from ftcli.console.console import Screen
    from ftcli.report.listing import list_runs
    from ftcli.report.tables import show_runs

    screen = Screen(as_json=as_json)
    records = list_runs(runs_dir)
    show_runs(screen, records, runs_dir)
    screen.result({"runs": records})


def compare(
    run: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Two or more: a path, an id prefix or `last`.")
    ],
    split: Annotated[Split, typer.Option("--split", help="Whose predictions to compare.")] = Split.validation,
    as_json: Json = False,
) -> None:
    """Compare runs: figures, costs, settings that differ, and whether the rows show a difference.

    Example: ftcli compare 3f2a91 last          ftcli compare runs/a runs/b --split test --json
    """
    from ftcli.console.console import Screen
    from ftcli.report.compare import compare as compare_runs

    screen = Screen(as_json=as_json)
    screen.result(compare_runs(run, split.value, screen))
