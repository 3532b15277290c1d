"""ftcli evaluate, ftcli predict."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftcli.cli.run import Force, Json, Quiet, Words

if TYPE_CHECKING:
    from ftcli.console.console import Screen

Checkpoint = Annotated[str, typer.Option("--checkpoint", help="best, last or a name such as step-000100.")]


class Split(str, Enum):  # noqa: UP042 - typer shows the values
    validation = "validation"
    test = "test"
    train = "train"


def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN [RUN]...",
            help="A run (path, id prefix, `last`), a Hugging Face folder, or a hub id.",
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

    Several runs are scored in one table, those on one base with the base loaded once.

    Example: ftcli evaluate last          ftcli evaluate DIR data=sst2 data.path=DIR          ftcli evaluate RUN RUN
    """
    from ftcli.console.console import Screen
    from ftcli.inference.load import open_predictor
    from ftcli.inference.score import evaluate_part

    screen = Screen(quiet=quiet, as_json=as_json)
    runs, words = _runs_and_words(run, words or [])
    if len(runs) > 1:
        screen.result(_evaluate_several(runs, words, checkpoint, split.value, mistakes, output, screen))
        return
    loaded = open_predictor(run, checkpoint, words, with_rows=True)
    screen.result(evaluate_part(loaded, split.value, screen, mistakes=mistakes, picture=output))


def _runs_and_words(run: str, words: list[str]) -> tuple[list[str], list[str]]:
    """Tells further runs from words: a word has a `=`; a flag that does not exist is left for the words' check."""
    if any(word.startswith("-") for word in words):
        return [run], words
    more = [word for word in words if "=" not in word or Path(word).is_dir()]
    return [run, *more], [word for word in words if word not in more]


def _evaluate_several(
    runs: list[str],
    words: list[str],
    checkpoint: str,
    part: str,
    mistakes: int,
    output: Path | None,
    screen: Screen,
) -> dict[str, Any]:
    from ftcli.errors import ConfigError, Problem
    from ftcli.inference.load import open_predictors
    from ftcli.inference.multi_model import evaluate_several

    if output is not None:
        raise ConfigError(Problem("--output", "draws one run's confusion matrix", "name one run"))
    opened, shared = open_predictors(runs, checkpoint, words, with_rows=True)
    return evaluate_several(opened, shared, part, screen, mistakes=mistakes)


def _predict_several(
    runs: list[str], words: list[str], checkpoint: str, source: str, target: str, screen: Screen
) -> None:
    from ftcli.inference.load import open_predictors
    from ftcli.inference.multi_model import predict_several, sharing

    opened, shared = open_predictors(runs, checkpoint, words, with_rows=False)
    count = predict_several(opened, source, target)
    screen.note(f"{count} rows predicted by {', '.join(opened)}; {sharing(shared)}")


def predict(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN [RUN]...",
            help="A run (path, id prefix, `last`), a Hugging Face folder, or a hub id.",
        ),
    ],
    words: Words = None,
    input_file: Annotated[
        str, typer.Option("--input", "-i", help="tsv, csv, json or jsonl; - reads jsonl from stdin.")
    ] = "-",
    output_file: Annotated[
        str, typer.Option("--output", "-o", help="tsv, csv or jsonl; - writes jsonl to stdout.")
    ] = "-",
    force: Force = False,
    checkpoint: Checkpoint = "best",
    quiet: Quiet = False,
) -> None:
    """Add a prediction and probabilities to every row of a file; columns and order are kept.

    Several runs add their columns side by side, each as NAME.prediction and so on, the base loaded once.

    Example: ftcli predict last --input new.tsv --output scored.jsonl
    """
    from ftcli.console.console import Screen
    from ftcli.inference.load import open_predictor
    from ftcli.inference.row_writer import refuse_existing
    from ftcli.inference.score import predict_file, refuse_same

    refuse_same(input_file, output_file)
    refuse_existing(output_file, "--output", force=force)

    screen = Screen(quiet=quiet, as_json=output_file == "-")
    runs, words = _runs_and_words(run, words or [])
    if len(runs) > 1:
        _predict_several(runs, words, checkpoint, input_file, output_file, screen)
        return
    loaded = open_predictor(run, checkpoint, words, with_rows=False)
    count = predict_file(loaded, input_file, output_file)
    screen.note(f"{count} rows predicted by {loaded.origin}")
