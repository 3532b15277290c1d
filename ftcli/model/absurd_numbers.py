"""Refuses a config.json whose numbers no model has, before a class of transformers reads it: no loop of a billion layers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ftcli.errors import Problem, SourceError
from ftcli.hub.resolve import Source
from ftcli.model.architecture import DROPOUT_FIELD

MAX_REPEATED = 1000
"""Most layers, experts or heads; DeepNet (Wang et al. 2022, arXiv:2203.00555) has 1,000 layers."""
MAX_INT = 2**31 - 1
MAX_LABELS = 1_000_000
"""transformers makes a name for each label when it reads a config.json."""
_REPEATED = re.compile(r"(.*_)?(layers?|blocks|depths?|depth|experts|heads?|groups|stages|group_num)$")
_SIZE = re.compile(
    r"(vocab_size|hidden_sizes?|d_model|n_embd|dim|intermediate_size|ffn_dim|d_ff|patch_size|image_size|num_channels)$"
)


def refuse_absurd_numbers(values: dict[str, Any], source: Source) -> None:
    """Checks the numbers of a config.json as they stand there.

    Args:
        values: of the file.
        source: for messages.

    Raises:
        SourceError: names the field and its value.
    """
    for name, value in _numbers(values, ""):
        field = name.rpartition(".")[2]
        if value != value or (DROPOUT_FIELD.fullmatch(field) and not 0 <= value <= 1):
            expected = "a probability" if value == value else "a number"
            message = f"{source.config_file} has {name}={value}; expected {expected}"
            raise SourceError(Problem(source.key, message, "use the config.json that came with the weights"))
        least = 1 if _SIZE.fullmatch(field) else None
        most = (
            MAX_REPEATED if _REPEATED.fullmatch(field) else MAX_LABELS if field == "num_labels" else MAX_INT
        )
        if isinstance(value, int) and (value > most or value < (-MAX_INT if least is None else least)):
            expected = f"at most {most:,}" if value > most else f"at least {least if least else -MAX_INT:,}"
            message = f"{source.config_file} has {name}={_shown(value)}; expected {expected}"
            raise SourceError(Problem(source.key, message, "use the config.json that came with the weights"))


def _numbers(values: Any, path: str) -> Iterator[tuple[str, int | float]]:
    """Yields the numbers of a config with their places, without those of label names."""
    if isinstance(values, bool):
        return
    if isinstance(values, int | float):
        yield path, values
    elif isinstance(values, dict):
        for name, value in values.items():
            if name not in ("id2label", "label2id", "task_specific_params"):
                yield from _numbers(value, f"{path}.{name}" if path else str(name))
    elif isinstance(values, list):
        for value in values:
            yield from _numbers(value, path)


def _shown(value: int) -> str:
    return f"{value:,}" if abs(value) < 10**18 else f"a number of {value.bit_length()} bits"
