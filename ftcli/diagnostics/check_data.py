"""ftcli check-data: the whole contract on the rows and the model of a run, an example shown, clean rows written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.image_table import ImageTable
from ftcli.config.compose import Composed
from ftcli.console.units import counted
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.inference.row_writer import RowWriter, format_of, opened, refuse_existing
from ftcli.run import build
from ftcli.run.data_checks.contract import Contract, check_contract
from ftcli.run.data_checks.findings import Finding, Level
from ftcli.run.encode import encode_parts, require_trainable_rows
from ftcli.run.train import check
from ftcli.runtime.decide import decide_runtime

if TYPE_CHECKING:
    from ftcli.batching.token_table import TokenTable
    from ftcli.console.console import Screen

STYLES = {Level.error: "bold red", Level.warning: "yellow", Level.fact: "green"}
SHOWN_TOKENS = 80


def check_data(
    composed: Composed, screen: Screen, *, write_clean: Path | None = None, force: bool = False
) -> dict[str, Any]:
    """Runs every proof, prints what was found and returns it; `holds` says whether there is no error.

    Args:
        composed: the run's words.
        screen: where it is printed.
        write_clean: file for the training rows that are kept; beside it, `NAME-rejected`, go the others.
        force: both may replace files that are there.

    Raises:
        ConfigError: a word that is wrong; wrong data is a finding.
    """
    check(composed)
    if write_clean is not None:
        format_of(str(write_clean), "--write-clean")
        for file in (write_clean, rejected_beside(write_clean)):
            refuse_existing(file, "--write-clean", force=force)
    screen.notes(composed.notes)
    try:
        contract, example = _contract(composed, screen)
    except DataError as error:
        found = [Finding("rows", Level.error, f"{p.key}: {p.message}", p.hint) for p in error.problems]
        contract, example = Contract(found), []
    for finding in contract.findings:
        _show(finding, screen)
    if example:
        screen.styled(example, before=("example: ", "bold"))
    counts = {level: sum(f.level is level for f in contract.findings) for level in Level}
    word = "PASS" if contract.holds else "FAIL"
    screen.heading(
        f"{word}: {counted(counts[Level.error], 'error')}, {counted(counts[Level.warning], 'warning')}, "
        f"{counts[Level.fact]} proofs and facts"
    )
    result: dict[str, Any] = {"holds": contract.holds, "findings": [f.to_json() for f in contract.findings]}
    if write_clean is not None and "train" in contract.parts:
        result["clean"] = write_clean_rows(contract, write_clean)
        screen.note(
            f"{result['clean']['kept']:,} rows in {write_clean}, {result['clean']['rejected']:,} in {result['clean']['rejected_file']}; "
            f"the verdict is on the rows as they were: type data.files.train={write_clean} to check the others"
        )
    return result


def _contract(composed: Composed, screen: Screen) -> tuple[Contract, list[tuple[str, str]]]:
    inputs = build.load_inputs(composed.config)
    screen.notes(inputs.decisions)
    tables, lines = encode_parts(inputs)
    screen.notes(lines)
    require_trainable_rows(tables)
    build.count_steps(composed.config, len(tables["train"]), tables["train"])  # no row beyond a token budget
    runtime = decide_runtime(composed.config, max(table.longest for table in tables.values()))
    built = build.build_model(inputs, attention=runtime.attention, allow_empty=True)
    model = built.model.to(runtime.device)
    return check_contract(inputs, tables, model), example_of(inputs, tables["train"])


def _show(finding: Finding, screen: Screen) -> None:
    name = f"{finding.level.value:<8}{finding.name:<21}"
    screen.styled([(finding.line, "")], before=(name, STYLES[finding.level]))
    if finding.hint and finding.level is not Level.fact:
        screen.styled([(finding.hint, "")], before=(" " * 29 + "-> ", "dim"))


def example_of(inputs: build.RunInputs, table: TokenTable) -> list[tuple[str, str]]:
    """Returns the first training row as the model sees it, (text, style) piece by piece, its label coloured."""
    if isinstance(table, ImageTable):
        assert inputs.splits is not None and inputs.splits.train is not None
        return [(inputs.splits.train.where(0), ""), *_label(inputs, table)]
    backend, pieces = inputs.tokenizer.backend, list[tuple[str, str]]()
    first, last = (0, 1) if table.groups is None else table.groups[:2].tolist()
    whole = table.labels is not None and len(table.labels) == len(table)
    choice = int(table.labels[0]) if whole and table.groups is not None and table.labels.ndim == 1 else -1  # type: ignore[union-attr, index]
    for number, sequence in enumerate(range(first, last)):
        start, end = table.offsets[sequence : sequence + 2]
        right = number == choice
        pieces += [("\n" if number else "", "")]
        for place in range(start, min(end, start + SHOWN_TOKENS)):
            pieces.append(
                (f"{backend.convert_ids_to_tokens(int(table.ids[place]))} ", "green" if right else "")
            )
            tag = None if whole or table.labels is None else int(table.labels[place])
            if tag is not None and tag >= 0:
                pieces.append((f"[{inputs.labels[tag]}] ", "green" if inputs.labels[tag] != "O" else "dim"))
        if end - start > SHOWN_TOKENS:
            pieces.append((f"... {end - start - SHOWN_TOKENS} more tokens", "dim"))
    return [*pieces, *_label(inputs, table)]


def _label(inputs: build.RunInputs, table: TokenTable) -> list[tuple[str, str]]:
    if table.labels is None or len(table.labels) != len(table) or table.groups is not None:
        return []
    value = table.labels[0]
    if value.ndim:
        shown = ", ".join(name for name, one in zip(inputs.labels, value, strict=True) if one) or "none"
    else:
        shown = inputs.labels[int(value)] if table.labels.dtype.kind == "i" else f"{float(value):g}"
    return [("  label: ", "dim"), (shown, "bold green")]


def rejected_beside(target: Path) -> Path:
    """Returns the file for the rejected rows beside that of the kept ones."""
    return target.with_name(f"{target.stem}-rejected{target.suffix}")


def write_clean_rows(contract: Contract, target: Path) -> dict[str, Any]:
    """Writes the training rows that are kept to a file, and the rejected ones with their reasons beside it."""
    part = contract.parts["train"]
    rows, rejected = part.rows, part.rejected
    other = rejected_beside(target)
    read = {Path(one.rows.origin).resolve() for one in contract.parts.values()}
    for file in (target, other):
        if file.resolve() in read:
            raise ConfigError(
                Problem("--write-clean", f"{file} is a file the rows are read from", "write to another file")
            )
    kept = [row for row in range(len(rows)) if row not in rejected]
    for file, numbers, added in ((target, kept, []), (other, sorted(rejected), ["row", "reason"])):
        piece = rows.take(np.array(numbers, dtype=np.int64))
        with opened(str(file), "--write-clean") as stream:
            writer = RowWriter(stream, target.suffix, rows, added)
            writer.write(piece, [[rows.where(row), rejected[row]] if added else [] for row in numbers])
    return {"kept": len(kept), "rejected": len(rejected), "file": str(target), "rejected_file": str(other),
            "reasons": _counted(rejected)}  # fmt: skip


def _counted(rejected: dict[int, str]) -> dict[str, int]:
    return {reason: list(rejected.values()).count(reason) for reason in sorted(set(rejected.values()))}
