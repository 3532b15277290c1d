"""ftcli evaluate, ftcli predict."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ftcli.cli.run import Json, Quiet, Words

Checkpoint = Annotated[str, typer.Option("--checkpoint", help="best, last or a name such as step-000100.")]


class Split(str, Enum):  # noqa: UP042 - typer shows the values
    validation = "validation"
    test = "test"
    train = "train"


def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run (path, id prefix, `last`), a Hugging Face folder, or a hub id."
        ),
    ],
    words: Words = None,
    checkpoint: Checkpoint = "best",
    split: Annotated[Split, typer.Option("--split", help="Which part to score.")] = Split.validation,
    mistakes: Annotated[
        int, typer.Option("--mistakes", min=0, help="How many of the worst mistakes to list.")
    ] = 5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG or SVG file for the confusion matrix.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score a run, or any classifier, on the rows of its configuration or of the words.

    Example: ftcli evaluate last          ftcli evaluate DIR data=sst2 data.path=DIR
    """
    from ftcli.finished import open_predictor
    from ftcli.scoring import evaluate_part
    from ftcli.screen import Screen

    screen = Screen(quiet=quiet, as_json=as_json)
    finished = open_predictor(run, checkpoint, words or [], with_rows=True)
    screen.result(evaluate_part(finished, split.value, screen, mistakes=mistakes, picture=output))


def predict(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run (path, id prefix, `last`), a Hugging Face folder, or a hub id."
        ),
    ],
    words: Words = None,
    input_file: Annotated[
        str, typer.Option("--input", "-i", help="tsv, csv, json or jsonl; - reads jsonl from stdin.")
    ] = "-",
    output_file: Annotated[
        str, typer.Option("--output", "-o", help="tsv, csv or jsonl; - writes jsonl to stdout.")
    ] = "-",
    checkpoint: Checkpoint = "best",
    quiet: Quiet = False,
) -> None:
    """Add a prediction and probabilities to every row of a file; columns and order are kept.

    Example: ftcli predict last --input new.tsv --output scored.jsonl
    """
    from ftcli.finished import open_predictor
    from ftcli.scoring import predict_file
    from ftcli.screen import Screen

    screen = Screen(quiet=quiet, as_json=output_file == "-")
    finished = open_predictor(run, checkpoint, words or [], with_rows=False)
    count = predict_file(finished, input_file, output_file)
    screen.note(f"{count} rows predicted by {finished.origin}")
