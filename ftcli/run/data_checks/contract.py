"""The data contract: every proof on the rows, the tokens and the real model, for check-data and for the start of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ftcli.batching.aligned import aligned
from ftcli.batching.image_table import ImageTable
from ftcli.batching.protocols import text_encoder
from ftcli.run.data_checks.findings import Finding, Level
from ftcli.run.data_checks.images import check_images
from ftcli.run.data_checks.labels import check_labels
from ftcli.run.data_checks.rows import Part, check_balance, check_overlap, check_texts, check_twins, read_part
from ftcli.run.data_checks.targets import check_targets
from ftcli.run.data_checks.tokens import check_tokens

if TYPE_CHECKING:
    import torch

    from ftcli.batching.rows import Rows
    from ftcli.batching.token_table import TokenTable
    from ftcli.run.inputs import RunInputs


@dataclass(slots=True)
class Contract:
    """What was found, and the parts with the rows that should not be trained on."""

    findings: list[Finding] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether there is no error."""
        return not any(finding.level is Level.error for finding in self.findings)


def check_contract(
    inputs: RunInputs, tables: dict[str, TokenTable], model: torch.nn.Module | None
) -> Contract:
    """Runs every proof.

    Args:
        inputs: rows, task and tokenizer.
        tables: part -> its rows as tokens.
        model: with its weights; None leaves out what only it can prove.

    Returns:
        The findings, errors first, and the parts as the proofs saw them.
    """
    contract = Contract()
    found = contract.findings
    if inputs.task.takes == "texts":
        found += check_vocabulary(inputs)
    for name, table in tables.items():
        rows = getattr(inputs.splits, name)
        contract.parts[name] = part = read_part(rows, inputs.task.contents(rows), table)
        found += check_texts(part, left_out=inputs.task.cuts_rows)
        found += _check_table(inputs, aligned(rows, table), table)
    train = contract.parts["train"]
    found += check_twins(train, numbers="values" in inputs.task.kinds)
    for name, part in contract.parts.items():
        if name != "train":
            found += check_overlap(train, part)
    counts = {n: c for n, t in tables.items() if t.labels is not None and (c := inputs.task.label_counts(t))}
    if "train" in counts:
        found += check_balance(counts, inputs.config.task.metrics, places=inputs.task.labels_are_places)
    typed = inputs.config.data.label_names is not None
    found += check_labels(inputs.task, tables["train"], counts.get("train"), typed=typed)
    if model is not None:
        from ftcli.run.data_checks.masks import prove_masks

        tokenizer = inputs.tokenizer
        found += prove_masks(
            model, inputs.task, tables["train"], pad_id=tokenizer.pad_id, padding_side=tokenizer.padding_side
        )
    accepted = inputs.config.data.accept
    contract.findings = found = [_accepted(f) if f.name in accepted else f for f in found]
    found.sort(key=lambda finding: _ORDER[finding.level])
    return contract


def _check_table(inputs: RunInputs, rows: Rows, table: TokenTable) -> list[Finding]:
    """Runs the proofs on one part's tokens, or pixels: what rows hold is the task's `takes`."""
    if isinstance(table, ImageTable):
        return check_images(rows, table)
    found = check_tokens(rows, table, text_encoder(inputs.tokenizer), inputs.task)
    return (
        [*found, *check_targets(rows, table, text_encoder(inputs.tokenizer))]
        if table.marks_targets
        else found
    )


def _accepted(finding: Finding) -> Finding:
    return replace(finding, level=Level.warning) if finding.level is Level.error else finding


_ORDER = {Level.error: 0, Level.warning: 1, Level.fact: 2}


def check_vocabulary(inputs: RunInputs) -> list[Finding]:
    """Reports PAD, and the tokenizer's ids beside the rows of the embedding; the tokenizer role refuses what cannot be."""
    tokenizer = text_encoder(inputs.tokenizer)
    size, backend = tokenizer.vocab_size, tokenizer.backend
    pad = f"PAD is {backend.convert_ids_to_tokens(tokenizer.pad_id)!r} (id {tokenizer.pad_id}), rows are padded on the {tokenizer.padding_side}"
    largest = max(backend.get_vocab().values())
    return [
        Finding("vocabulary", Level.fact, f"ids up to {largest:,} in an embedding of {size:,} rows; {pad}")
    ]
