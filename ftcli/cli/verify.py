"""ftcli verify."""

from __future__ import annotations

from typing import Annotated

import typer

from ftcli.cli.options import Json, Quiet, Run


def verify(
    run: Run,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            min=1,
            max=1_000_000,
            help="The most steps to take again. Default: as many as lie between two log lines, at least 10.",
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check that a run directory is what the run wrote, and that its steps give the same bits again: exit 0, or 3.

    Nothing is written into the run directory.

    Example: ftcli verify last          ftcli verify 3f2a91 --steps 50 --json
    """
    from ftcli.console.console import Screen
    from ftcli.diagnostics.verify import verify_run

    screen = Screen(quiet=quiet, as_json=as_json)
    result = verify_run(run, screen, steps=steps)
    screen.result(result)
    if not result["holds"]:
        raise typer.Exit(3)
