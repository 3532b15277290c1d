"""ftcli check-data: the whole contract on the rows and the model of a run, an example shown, clean rows written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.protocols import text_encoder
from ftcli.config.check import check
from ftcli.config.compose import Composed
from ftcli.config.schema import DataConfig
from ftcli.config.shell_word import shell_word
from ftcli.console.units import counted
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.inference.output_file import format_of, opened, refuse_existing
from ftcli.inference.row_writer import RowWriter
from ftcli.run.data_checks.contract import Contract
from ftcli.run.data_checks.findings import Finding, Level, accepting
from ftcli.run.data_checks.rows import Part
from ftcli.run.inputs import RunInputs
from ftcli.run.session import RunSession, no_notes
from ftcli.task.base import TokenMark

if TYPE_CHECKING:
    from ftcli.batching.token_table import TokenTable
    from ftcli.console.console import Screen

STYLES = {Level.error: "bold red", Level.warning: "yellow", Level.fact: "green"}
SHOWN_TOKENS = 80
"""Tokens of a sequence that the example shows."""
UNMARKED = TokenMark()


def check_data(
    composed: Composed, screen: Screen, *, write_clean: Path | None = None, force: bool = False
) -> dict[str, Any]:
    """Runs every proof, prints what was found and returns it; `holds` says whether there is no error.

    Args:
        composed: the configuration.
        screen: where it is printed.
        write_clean: file for the training rows that are kept; beside it, `NAME-rejected`, go the others.
        force: both may replace files that are there.

    Raises:
        ConfigError: an override that is wrong; wrong data is a finding.
    """
    check(composed)
    if write_clean is not None:
        format_of(str(write_clean), "--write-clean")
        for file in (write_clean, rejected_beside(write_clean)):
            refuse_existing(file, "--write-clean", force=force)
    screen.notes(composed.notes)
    try:
        contract, example, reading = _contract(composed, screen)
    except DataError as error:
        found = [Finding("rows", Level.error, f"{p.key}: {p.message}", p.hint) for p in error.problems]
        contract, example, reading = Contract(found), [], []
    for finding in contract.findings:
        _show(finding, screen)
    if example:
        screen.styled(example, before=("example: ", "bold"))
    counts = {level: sum(f.level is level for f in contract.findings) for level in Level}
    word = "PASS" if contract.holds else "FAIL (exit 3)"
    screen.heading(
        f"{word}: {counted(counts[Level.error], 'error')}, {counted(counts[Level.warning], 'warning')}, "
        f"{counts[Level.fact]} proofs and facts"
    )
    if accept := accepting(contract.findings):
        screen.note(accept)
    result: dict[str, Any] = {
        "holds": contract.holds,
        "findings": [f.to_json() for f in contract.findings],
        "reading": reading,
    }
    if write_clean is not None and "train" in contract.parts:
        data = composed.config.data
        shared = data.validation_share is not None and data.files.validation is None
        result["clean"] = write_clean_rows(contract, write_clean, shared=shared)
        screen.note(
            f"{result['clean']['kept']:,} rows in {write_clean}, {result['clean']['rejected']:,} in {result['clean']['rejected_file']}; "
            f"the verdict is on the rows as they were: type {shell_word('data.files.train', str(write_clean))} to check the others"
        )
        screen.notes(_left_out(composed.config.data, result["clean"]))
    return result


def _left_out(data: DataConfig, clean: dict[str, Any]) -> list[str]:
    """Returns lines on rows of the training file that are not in the training part."""
    lines = []
    if clean["held_out"]:
        lines.append(
            f"{clean['held_out']:,} of the rows kept are those held out by data.validation_share={data.validation_share}: "
            "with the new file, type the same share again"
        )
    if data.limit_train is not None:
        lines.append(f"rows that data.limit_train={data.limit_train} left out are in neither file")
    return lines


def _contract(composed: Composed, screen: Screen) -> tuple[Contract, list[tuple[str, str]], list[str]]:
    """Returns what was found, the first row as the model sees it, and what was decided in reading."""
    session = RunSession(composed.config, notes=screen.notes, allow_empty=True)
    tables = session.tables
    session.notes = no_notes  # what follows is about training: this command trains nothing
    session.step_counts  # noqa: B018 - counting them refuses a row beyond the token budget
    splits = session.inputs.splits
    assert splits is not None
    return (
        session.check_contract(on_device=True),
        example_of(session.inputs, tables["train"]),
        splits.decisions,
    )


def _show(finding: Finding, screen: Screen) -> None:
    name = f"{finding.level.value:<8}{finding.name:<21}"
    screen.styled([(finding.line, "")], before=(name, STYLES[finding.level]))
    if finding.hint and finding.level is not Level.fact:
        screen.styled([(finding.hint, "")], before=(" " * 29 + "-> ", "dim"))


def example_of(inputs: RunInputs, table: TokenTable) -> list[tuple[str, str]]:
    """Returns the first training row as the model sees it, with its label: (text, style) of each piece.

    Args:
        inputs: of the run, with rows.
        table: the training rows, labelled.
    """
    assert inputs.splits is not None and inputs.splits.train is not None
    task = inputs.task
    pieces = _tokens(inputs, table) if task.takes == "texts" else [(inputs.splits.train.where(0), "")]
    if label := task.label_text(table, 0):
        pieces += [("  label: ", "dim"), (label, "bold green")]
    return pieces


def _tokens(inputs: RunInputs, table: TokenTable) -> list[tuple[str, str]]:
    """Returns the tokens of the first row, each of its sequences on a line, marked as the task marks them."""
    backend, marks = text_encoder(inputs.tokenizer).backend, inputs.task.token_marks(table, 0)
    pieces: list[tuple[str, str]] = []
    first, last = (0, 1) if table.groups is None else table.groups[:2].tolist()
    for number, sequence in enumerate(range(first, last)):
        start, end = table.offsets[sequence : sequence + 2]
        pieces += [("\n" if number else "", "")]
        for place in range(start, min(end, start + SHOWN_TOKENS)):
            mark = marks.get(place, UNMARKED)
            shown = f"{backend.convert_ids_to_tokens(int(table.ids[place]))} "
            pieces.append((shown, "green" if mark.highlighted and not mark.tag else ""))
            if mark.tag:
                pieces.append((f"[{mark.tag}] ", "green" if mark.highlighted else "dim"))
        if end - start > SHOWN_TOKENS:
            pieces.append((f"... {end - start - SHOWN_TOKENS} more tokens", "dim"))
    return pieces


def rejected_beside(target: Path) -> Path:
    """Returns the file for the rejected rows beside that of the kept ones."""
    return target.with_name(f"{target.stem}-rejected{target.suffix}")


def write_clean_rows(contract: Contract, target: Path, *, shared: bool) -> dict[str, Any]:
    """Writes the rows of the training file that are kept to a file, and the rejected ones with their reasons beside it.

    Args:
        contract: with the training part and its rejected rows.
        target: file of the rows that are kept.
        shared: validation rows are a share of the training file, which the new file is to hold too.

    Returns:
        How many rows each file holds (`held_out`: how many of those kept are of the validation share), the files,
        and reason -> rows.

    Raises:
        ConfigError: a file that the rows are read from.
    """
    part = contract.parts["train"]
    rows = part.rows
    other = rejected_beside(target)
    read = {Path(one.rows.origin).resolve() for one in contract.parts.values()}
    for file in (target, other):
        if file.resolve() in read:
            raise ConfigError(
                Problem("--write-clean", f"{file} is a file the rows are read from", "write to another file")
            )
    file_parts = (part, *(_held_out(contract) if shared else []))
    chosen: list[tuple[Path, list[tuple[Part, list[int]]], list[str]]] = [
        (target, [(one, _kept(one)) for one in file_parts], []),
        (other, [(one, sorted(one.rejected)) for one in file_parts], ["row", "reason"]),
    ]
    for file, pieces, added in chosen:
        with opened(str(file), "--write-clean") as stream:
            writer = RowWriter(stream, target.suffix, rows, added)
            for one, numbers in pieces:
                cells = [[one.rows.where(row), one.rejected[row]] if added else [] for row in numbers]
                writer.write(one.rows.take(np.array(numbers, dtype=np.int64)), cells)
    kept, *held = (len(numbers) for _, numbers in chosen[0][1])
    reasons = [reason for one in file_parts for reason in one.rejected.values()]
    return {"kept": kept + sum(held), "held_out": sum(held), "rejected": len(reasons), "file": str(target),
            "rejected_file": str(other), "reasons": {one: reasons.count(one) for one in sorted(set(reasons))}}  # fmt: skip


def _held_out(contract: Contract) -> list[Part]:
    """Returns the part that was held out of the training file: its rows belong to the same file."""
    origin = contract.parts["train"].rows.origin
    return [part for name, part in contract.parts.items() if name != "train" and part.rows.origin == origin]


def _kept(part: Part) -> list[int]:
    return [row for row in range(len(part.rows)) if row not in part.rejected]
