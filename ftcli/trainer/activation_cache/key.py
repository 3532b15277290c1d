"""The name of cached activations: the hash of everything that their bytes depend on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from ftcli.batching.token_table import TokenTable
from ftcli.trainer.activation_cache.states import BLOCK_ROWS, Shape

FORMAT = 1
"""Goes up whenever the meaning of an entry's bytes changes."""

_OF_THE_HEAD = ("id2label", "label2id", "num_labels", "problem_type", "_name_or_path", "name_or_path",
                "transformers_version", "architectures")  # fmt: skip
"""Fields of config.json that no module below the head reads."""


class Digests:
    """Hashes tensors, each once in a lifetime of this object: what is hashed must not change meanwhile."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, modules: list[nn.Module]) -> list[str]:
        """Returns the hash of every parameter and buffer of the modules, in order, with its shape and dtype."""
        return [self._one(t) for module in modules for t in (*module.parameters(), *module.buffers())]

    def _one(self, tensor: torch.Tensor) -> str:
        if id(tensor) not in self._known:
            plain = tensor.detach().cpu().contiguous()
            found = hashlib.sha256(f"{tuple(plain.shape)}{plain.dtype}".encode())
            found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
            self._known[id(tensor)] = found.hexdigest()
        return self._known[id(tensor)]


def table_digest(table: TokenTable, pad_id: int) -> str:
    """Returns the hash of what a model reads of a table: token ids or pixels, their order and their types.

    The tokenizer, its length limit and truncation count through the ids they gave.
    """
    found = hashlib.sha256(f"{pad_id}".encode())
    arrays: dict[str, np.ndarray | None] = {
        "ids": table.ids,
        "offsets": table.offsets,
        "token_types": table.token_types,
        "groups": table.groups,
        **{name: table.extras.get(name) for name in ("shape", "scale", "mean", "std")},
    }
    for name, array in arrays.items():
        if array is not None:
            found.update(f"{name}{array.shape}{array.dtype}".encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def states_key(
    model: nn.Module, *, weights: list[str], table: str, depth: int, shape: Shape, device: str, precision: str
) -> str:
    """Returns the hex sha256 that names an entry.

    Args:
        model: whose config and attention kind count.
        weights: hashes of the tensors below the boundary.
        table: hash of the rows.
        depth: the boundary.
        shape: what is stored.
        device: `cpu`, `cuda` or `mps`.
        precision: of the autocast region.
    """
    config: dict[str, Any] = model.config.to_dict()  # type: ignore[operator, union-attr]
    facts = {
        "format": FORMAT,
        "model": type(model).__name__,
        "config": {name: str(value) for name, value in config.items() if name not in _OF_THE_HEAD},
        "attention": str(getattr(model.config, "_attn_implementation", "")),
        "weights": weights,
        "table": table,
        "depth": depth,
        "kept": [shape.stored, shape.hidden, str(shape.dtype), shape.places],
        "block_rows": BLOCK_ROWS,
        "device": [device, torch.cuda.get_device_name() if device == "cuda" else torch.backends.cpu.get_cpu_capability()],
        "precision": precision,
        "threads": torch.get_num_threads(),
        "versions": [torch.__version__, transformers.__version__],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
