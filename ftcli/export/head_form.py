"""What the reloading script has to know of a head, and which of a vocabulary's outputs are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.protocols import text_encoder

if TYPE_CHECKING:
    from ftcli.batching.head import Head
    from ftcli.inference.load import LoadedModel

NUM_COLUMNS = 1024
"""Tokens of a large vocabulary that are compared one by one, at the least."""


def form_of(head: Head, finished: LoadedModel) -> dict[str, Any]:
    """Returns what `reload.py`, which imports nothing of ftcli, has to know of a head, as plain JSON.

    `columns` are those of a large vocabulary that are compared one by one; the log of the sum of all exponentials stands for the others.
    """
    form = {"outputs": list(head.outputs), "per_token": head.per_token, "one_row": head.one_row}
    return form | {"vocabulary": head.vocabulary, "columns": _columns(finished) if head.vocabulary else None}


def _columns(finished: LoadedModel) -> list[int] | None:
    """Returns tokens that are evenly spaced in the vocabulary, special ones among them; None for all of a small one."""
    tokenizer = text_encoder(finished.inputs.tokenizer)
    if tokenizer.vocab_size <= 2 * NUM_COLUMNS:
        return None
    spaced = np.linspace(0, tokenizer.vocab_size - 1, NUM_COLUMNS).astype(int).tolist()
    special = [i for i in tokenizer.backend.all_special_ids if i < tokenizer.vocab_size]
    return sorted({*spaced, *special})


def column_names(form: dict[str, Any]) -> list[str]:
    """Returns how messages name the columns of a vocabulary that are compared."""
    return (
        []
        if form["columns"] is None
        else [*(f"token {i}" for i in form["columns"]), "log of the sum of exponentials"]
    )
