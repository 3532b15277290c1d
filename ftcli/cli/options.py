"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[WORDS]...", help="recipe=NAME, group=choice, a.b=c", show_default=False),
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A path, a run-id prefix or `last`.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-change", metavar="freezing", help="Accept a changed schedule when a run is continued."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output file that exists already.")]
Profile = Annotated[
    bool,
    typer.Option("--profile", help="Write where the time went, and a trace of some steps, to RUN/profile."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Predictor = Annotated[
    str,
    typer.Argument(
        metavar="RUN [RUN]...", help="A run (path, id prefix, `last`), a Hugging Face folder, or a hub id."
    ),
]
Checkpoint = Annotated[str, typer.Option("--checkpoint", help="best, last or a name such as step-000100.")]
