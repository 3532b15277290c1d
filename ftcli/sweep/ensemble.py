"""The ensemble of several seeds, from the predictions that its members saved: no model is loaded where they suffice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.report.saved_rows import MAX_BYTES
from ftcli.run.run_dir import RunDir
from ftcli.storage.plain_file import read_plain_text
from ftcli.storage.run_files import read_record

if TYPE_CHECKING:
    from ftcli.batching.output import StepOutput
    from ftcli.batching.protocols import Batch
    from ftcli.batching.token_table import TokenTable
    from ftcli.console.console import Screen
    from ftcli.trainer.evaluation import Evaluator, Scores

PARTS = ("validation", "test")
Lines = list[dict[str, Any]]
"""A predictions file: one object a row, in row order."""


class NotEnough(Exception):
    """Why the saved predictions cannot stand in for the models, in one line."""


def score_ensemble(parent: RunDir, members: list[RunDir], screen: Screen) -> dict[str, Scores]:
    """Scores all members together and saves their predictions, validation and test; describes the rows in data.json.

    Args:
        parent: the run directory of all seeds.
        members: finished runs, their best checkpoints' predictions saved.
        screen: where a line says why models are loaded, if they are.

    Returns:
        Part -> its scores.
    """
    from ftcli.batching.aligned import aligned
    from ftcli.batching.cache import cached_table
    from ftcli.inference.load import open_session
    from ftcli.run.encode import describe_data
    from ftcli.run.predictions import save_predictions

    session = open_session(members[0])
    inputs, evaluator = session.inputs, session.evaluator
    scored, tables = {}, {}
    for part in PARTS:
        if (rows := getattr(inputs.splits, part)) is None:
            continue
        tables[part], _ = cached_table(rows, inputs.tokenizer, inputs.task, inputs.labels)
        if tables[part].labels is None:
            continue
        try:
            scores = combine_saved(evaluator, tables[part], members, part)
        except NotEnough as reason:
            screen.note(f"ensemble, {part}: scored with the models, because {reason}")
            scores = _score_models(parent, part)
        scored[part] = scores
        read = aligned(rows, tables[part])
        save_predictions(parent.predictions / f"{part}.jsonl", evaluator, tables[part], read, scores)
    parent.write_json("data.json", describe_data(inputs, tables))
    return scored


def combine_saved(evaluator: Evaluator, table: TokenTable, members: list[RunDir], part: str) -> Scores:
    """Returns the scores of the ensemble, from the predictions that its members saved.

    Args:
        evaluator: of the members' task.
        table: the part's rows, labelled.
        members: finished runs.
        part: `validation` or `test`.

    Raises:
        NotEnough: a file that is missing, damaged or of other figures than its run recorded, or a task whose lines
            do not hold what the mean takes.
    """
    saved = [_read(member, part, len(table), evaluator) for member in members]
    if not len(table) or evaluator.task.saved_logits(saved[0][:1]) is None:
        raise NotEnough("a line of its predictions has the best answer alone")
    return evaluator.score_outputs(_outputs(evaluator, table, saved), len(table), keep=True)


def _outputs(
    evaluator: Evaluator, table: TokenTable, saved: list[Lines]
) -> Iterator[tuple[np.ndarray, Batch, StepOutput]]:
    """Yields what `Evaluator.outputs` yields of an ensemble, the members' logits from their files."""
    import torch

    from ftcli.batching.output import StepOutput
    from ftcli.batching.sampler import evaluation_batches

    nothing = torch.zeros(())
    for rows in evaluation_batches(table.lengths, evaluator.batch_size):
        evaluator.check()
        batch = evaluator.forward.collate(table, rows)
        found = []
        for lines in saved:
            logits = evaluator.task.saved_logits([lines[row] for row in rows])
            assert logits is not None, "combine_saved asked"
            found.append(StepOutput(nothing, 0, logits.to(evaluator.forward.device)))
        yield rows, batch, evaluator.task.combine(found, batch)


def _read(member: RunDir, part: str, num_rows: int, evaluator: Evaluator) -> Lines:
    """Returns a member's saved predictions; they must give the figures that the member recorded.

    Raises:
        NotEnough: they do not, or cannot be read.
    """
    path = member.predictions / f"{part}.jsonl"
    where = f"{member.path.name}/predictions/{part}.jsonl"
    try:
        lines = [json.loads(line) for line in read_plain_text(path, MAX_BYTES).removesuffix("\n").split("\n")]
        result = read_record(member.result_json)
        recorded = result["metrics" if part == "validation" else part]
        again = evaluator.rescore([lines])
        same = all(np.isclose(value, recorded[name], rtol=1e-6, atol=1e-9, equal_nan=True) for name, value in again.items())  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise NotEnough(f"{where} cannot be read") from error
    if len(lines) != num_rows or not same:
        raise NotEnough(f"{where} does not give the figures of the run")
    return lines


def _score_models(parent: RunDir, part: str) -> Scores:
    """Returns the scores of the members' best checkpoints, loaded together."""
    from ftcli.inference.load import load_run
    from ftcli.inference.score import score_part

    _, scores = score_part(load_run(parent, "best", [], with_rows=True), part)
    assert scores is not None, "the part has labels"
    return scores


def member_dir(parent: RunDir, seed: int) -> Path:
    """Returns the run directory of one seed."""
    return parent.path / f"seed-{seed}"
