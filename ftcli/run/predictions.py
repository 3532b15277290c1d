"""predictions/<part>.jsonl: every row's prediction, and the proof that the file gives the figures of the evaluation."""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ftcli.console.console import json_text
from ftcli.errors import CheckpointError, Problem
from ftcli.storage.atomic import write_atomic
from ftcli.storage.disk import explained

if TYPE_CHECKING:
    import numpy as np

    from ftcli.batching.protocols import PredictingTask
    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.trainer.evaluation import Evaluator, Scores

CHUNK_ROWS = 4096
"""Rows that are read back at a time, so that a file of any size takes the same memory."""


def save_predictions(path: Path, evaluator: Evaluator, table: TokenTable, rows: Rows, scores: Scores) -> None:
    """Writes every row's prediction, and scores the file once more: both must agree.

    Args:
        path: the file.
        evaluator: what scored the rows.
        table: their tokens.
        rows: their texts and labels.
        scores: with the record of every row.

    Raises:
        CheckpointError: the file gives other metrics than the evaluation.
    """
    assert scores.records is not None
    write_predictions(path, evaluator.task, table, rows, scores.records)
    check_predictions(path, evaluator, scores.figures)


def write_predictions(
    path: Path, task: PredictingTask, table: TokenTable, rows: Rows, records: list[np.ndarray]
) -> None:
    """Writes one JSON line a row: row, file, line, label, prediction, probabilities; what the last three are is the task's.

    `row` counts in the part, `file` and `line` say where the row was read, so that the rows of a part that was drawn can be joined with their source.

    Args:
        path: the file; its folder is made.
        task: of the model.
        table: the rows as tokens.
        rows: the rows as they were read.
        records: of `task.records`, one a row; the shape is the task's own, such as (num_labels,).
    """
    with explained(path):
        path.parent.mkdir(exist_ok=True)
    lines = (
        json_text({"row": row, **rows.place(row), **task.prediction_row(record, table, rows, row)}) + "\n"
        for row, record in enumerate(records)
    )
    write_atomic(path, "".join(lines))


def check_predictions(path: Path, evaluator: Evaluator, figures: dict[str, float]) -> None:
    """Scores a predictions file once more, without the model.

    Raises:
        CheckpointError: the file gives other metrics than the evaluation that wrote it.
    """
    with path.open(encoding="utf-8") as file:
        lines = (json.loads(line) for line in file)
        again = evaluator.rescore(iter(lambda: list(islice(lines, CHUNK_ROWS)), []))
    for name, value in again.items():
        then = figures[name]
        if not (
            math.isclose(value, then, rel_tol=1e-6, abs_tol=1e-9) or math.isnan(value) and math.isnan(then)
        ):
            message = f"its rows give {name} {value}, the evaluation gave {then}"
            raise CheckpointError(Problem(str(path), message, "this is a defect of ftcli: please report it"))
