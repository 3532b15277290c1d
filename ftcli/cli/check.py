"""ftcli overfit-batch, ftcli check-data, ftcli generate-schedule."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ftcli.cli.options import Force, Json, Quiet, Words


def overfit_batch(
    words: Words = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG or SVG file for both curves.")] = Path(
        "overfit-batch.png"
    ),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fit one batch with the real pipeline; PASS (exit 0) or FAIL (exit 3) with a diagnosis.

    Example: ftcli overfit-batch recipe=sst2-lora model=minilm data.path=DIR
    """
    from ftcli.config.compose import load
    from ftcli.console.console import Screen
    from ftcli.diagnostics.overfit_command import run_overfit
    from ftcli.trainer.signals import Interrupted

    screen = Screen(quiet=quiet, as_json=as_json)
    try:
        verdict = run_overfit(load(words or []), output, screen)
    except Interrupted as stopped:
        raise typer.Exit(stopped.exit_code) from None
    screen.result(verdict.to_json())
    if not verdict.passed:
        raise typer.Exit(3)


def check_data(
    words: Words = None,
    write_clean: Annotated[
        Path | None,
        typer.Option(
            "--write-clean",
            metavar="FILE",
            help="Write the training rows kept; beside it those rejected, with reasons.",
        ),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Prove the data contract on real rows and the real model: exit 0 when it holds, 3 when not.

    Example: ftcli check-data recipe=sst2-lora model=minilm data.path=DIR
    """
    from ftcli.config.compose import load
    from ftcli.console.console import Screen
    from ftcli.diagnostics.check_data import check_data as check_rows

    screen = Screen(quiet=quiet, as_json=as_json)
    result = check_rows(load(words or []), screen, write_clean=write_clean, force=force)
    screen.result(result)
    if not result["holds"]:
        raise typer.Exit(3)


class By(StrEnum):
    """What one phase of a generated schedule unfreezes."""

    block = "block"
    depth = "depth"
    pair = "pair"


def generate_schedule(
    words: Words = None,
    by: Annotated[
        By,
        typer.Option(
            "--by", help="A phase for each block, each depth of all stacks, or each pair of tensors."
        ),
    ] = By.block,
    phases: Annotated[
        int | None,
        typer.Option(
            "--phases", metavar="N", help="Merge neighbours into N phases, the head alone in the first."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; stdout without it.")
    ] = None,
    force: Force = False,
) -> None:
    """Write the default unfreezing schedule of the chosen model: one phase a block, head first.

    A config.json is enough: no weights, tokenizer or rows are read.

    Example: ftcli generate-schedule model=gpt2 model.path=DIR -o schedule.yaml
    """
    from ftcli.config.compose import load
    from ftcli.console.console import one_line
    from ftcli.diagnostics.overfit_command import schedule_text
    from ftcli.inference.output_file import refuse_existing, write_new_text

    if output is not None:
        refuse_existing(output, "--output", force=force)
    text = schedule_text(load(words or []), by=by.value, phases=phases)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_new_text(output, text)
        typer.echo(one_line(f"wrote {output}"), err=True)
