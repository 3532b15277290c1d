"""ftcli export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ftcli.cli.options import Json, Quiet, Run


class Precision(StrEnum):
    """Dtype of the weights that are written."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge adapters into the weights: a plain Hugging Face folder.")
    ] = False,
    dtype: Annotated[
        Precision | None,
        typer.Option("--dtype", help="Of the weights written. Default: as the run has them."),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="best, last or a name such as step-000100.")
    ] = "best",
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="NAME", help="What adapter_config.json calls the base model, such as a hub id."
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="ID", help="Upload the folder to this hub repository afterwards."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a run as a plain Hugging Face or PEFT folder, proved by reloading it: exit 0, or 3 when it differs.

    Example: ftcli export last my-model          ftcli export 3f2a91 DIR --merge --dtype bfloat16
    """
    from ftcli.console.console import Screen
    from ftcli.export.export import ExportOptions
    from ftcli.export.export import export as write_folder

    screen = Screen(quiet=quiet, as_json=as_json)
    options = ExportOptions(
        merge=merge,
        dtype=None if dtype is None else dtype.value,
        checkpoint=checkpoint,
        base=base,
        push=push,
    )
    screen.result(write_folder(run, folder, options, screen))
