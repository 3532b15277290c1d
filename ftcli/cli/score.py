"""ftcli evaluate, ftcli predict."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ftcli.cli.options import Checkpoint, Force, Json, Predictor, Quiet, Words


class Split(StrEnum):
    """Which rows are scored."""

    validation = "validation"
    test = "test"
    train = "train"


class Format(StrEnum):
    """How the rows to predict are read."""

    tsv = "tsv"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"
    conll = "conll"
    conllu = "conllu"
    squad = "squad"
    txt = "txt"


def evaluate(
    run: Predictor,
    words: Words = None,
    checkpoint: Checkpoint = "best",
    split: Annotated[Split, typer.Option("--split", help="Which part to score.")] = Split.validation,
    mistakes: Annotated[
        int, typer.Option("--mistakes", min=0, help="How many of the worst errors to list.")
    ] = 5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG or SVG file for the confusion matrix.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score a run, or any classifier, on the rows of its configuration or of the overrides.

    Several runs are scored in one table, those on one base with the base loaded once.

    Example: ftcli evaluate last          ftcli evaluate DIR data=sst2 data.path=DIR          ftcli evaluate RUN RUN
    """
    from ftcli.console.console import Screen
    from ftcli.inference.multi_model import evaluate_models

    screen = Screen(quiet=quiet, as_json=as_json)
    specs, overrides = _runs_and_overrides(run, words or [])
    result = evaluate_models(
        specs,
        overrides,
        screen,
        checkpoint=checkpoint,
        part=split.value,
        num_errors=mistakes,
        picture=output,
    )
    screen.result(result)


def _runs_and_overrides(run: str, words: list[str]) -> tuple[list[str], list[str]]:
    """Separates further runs from overrides, which have a `=`; an unknown flag is left to the check of overrides."""
    from ftcli.config.regular_file import is_folder

    if any(word.startswith("-") for word in words):
        return [run], words
    more = [word for word in words if "=" not in word or is_folder(word)]
    return [run, *more], [word for word in words if word not in more]


def predict(
    run: Predictor,
    words: Words = None,
    input_files: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            help="tsv, csv, json, jsonl, parquet, ...; - reads stdin. May be given several times.",
        ),
    ] = None,
    file_format: Annotated[
        Format | None,
        typer.Option("--format", help="How --input is read. Default: as its name says; stdin as jsonl."),
    ] = None,
    output_file: Annotated[
        str, typer.Option("--output", "-o", help="tsv, csv or jsonl; - writes jsonl to stdout.")
    ] = "-",
    safe_csv: Annotated[
        bool,
        typer.Option(
            "--safe-csv",
            help="Put an apostrophe before cells that a spreadsheet would run as formulas; numbers stay.",
        ),
    ] = False,
    force: Force = False,
    checkpoint: Checkpoint = "best",
    quiet: Quiet = False,
) -> None:
    """Add a prediction and probabilities to every row of a file; columns and order are kept.

    Of several files, the columns `file` and `line` say where a row comes from. Several runs add their columns side by side, each as NAME.prediction and so on, the base loaded once.

    Example: ftcli predict last --input new.tsv --output scored.jsonl
    """
    from ftcli.console.console import Screen
    from ftcli.inference.predict import predict as write_predictions

    # Rows on stdout stay machine-readable: nothing else is printed there.
    screen = Screen(quiet=quiet, as_json=output_file == "-")
    specs, overrides = _runs_and_overrides(run, words or [])
    write_predictions(
        specs,
        overrides,
        screen,
        sources=input_files or ["-"],
        target=output_file,
        force=force,
        checkpoint=checkpoint,
        suffix=None if file_format is None else f".{file_format.value}",
        safe_csv=safe_csv,
    )
