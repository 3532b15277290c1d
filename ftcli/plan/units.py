"""Which unit a tensor belongs to: embeddings, a block, what follows the blocks, or the head; by names and order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftcli.errors import PlanError, Problem

if TYPE_CHECKING:
    from torch import nn

EMBEDDINGS, FINAL, HEAD = "embeddings", "final", "head"
"""Names of the units that are no blocks."""

# Outside the blocks, names tell the place better than registration order does: OPT registers
# project_out and final_layer_norm before its layers.
_EMBEDDING_NAMES = re.compile(r"emb|wte|wpe|position|token_type|project_in")
_FINAL_NAMES = re.compile(r"pool|project_out|final|ln_f|norm", re.IGNORECASE)
# DeBERTa-v2's encoder.LayerNorm normalises rel_embeddings, and encoder.conv runs after layer 0 only.
EXCEPTIONS: dict[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "deberta-v2": (
        (re.compile(r"encoder\.LayerNorm\..*"), EMBEDDINGS),
        (re.compile(r"encoder\.conv\..*"), "block 0"),
    ),
}
"""`model_type` -> patterns of names below the base model, and their unit."""


def base_prefix(model: nn.Module) -> str:
    """Returns the name of the base model inside a model with a head, such as `bert`.

    Raises:
        PlanError: the model has no such module: it has no task head.
    """
    prefix = str(getattr(model, "base_model_prefix", ""))
    if not prefix or not hasattr(model, prefix):
        kind = type(model).__name__
        raise PlanError(
            Problem("model", f"{kind} has no base model named {prefix!r}; expected a model with a task head")
        )
    return prefix


def find_blocks(model: nn.Module, prefix: str) -> dict[str, tuple[str, ...]]:
    """Returns block name -> the prefixes of its tensors' names, bottom to top.

    Blocks are the entries of the outermost ModuleLists of the base model.

    Args:
        model: a transformers model with a head.
        prefix: `base_prefix(model)`.
    """
    lists: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, length in _module_lists(prefix, model.get_submodule(prefix)):
        lists[name.rpartition(".")[0]].append((name, length))
    blocks = {}
    for siblings in lists.values():
        # XLM keeps attentions, norms and feed-forwards of its layers in parallel lists.
        parallel = len({length for _, length in siblings}) == 1
        for group in [siblings] if parallel else [[one] for one in siblings]:
            for i in range(group[0][1]):
                blocks[f"{group[0][0]}.{i}"] = tuple(f"{name}.{i}." for name, _ in group)
    return blocks


def _module_lists(name: str, module: nn.Module) -> Iterator[tuple[str, int]]:
    from torch import nn

    for child_name, child in module.named_children():
        path = f"{name}.{child_name}"
        if not any(True for _ in child.parameters()) or _EMBEDDING_NAMES.search(child_name):
            continue
        if isinstance(child, nn.ModuleList):
            yield path, len(child)
        else:
            yield from _module_lists(path, child)


class UnitFinder:
    """Tensor name -> unit name; to be called in registration order.

    Outside the blocks a name that says nothing is decided by whether a block came before it.

    Args:
        prefix: name of the base model.
        blocks: what `find_blocks` gave.
        exceptions: of this `model_type`, see `EXCEPTIONS`.
    """

    def __init__(
        self,
        prefix: str,
        blocks: dict[str, tuple[str, ...]],
        exceptions: tuple[tuple[re.Pattern[str], str], ...],
    ) -> None:
        self.prefix, self.blocks, self.exceptions = prefix, blocks, exceptions
        self.seen_block = False
        # Module that holds a stack -> the last block of it.
        self.stacks = {block.rsplit(".", 2)[0]: block for block in blocks}

    def __call__(self, name: str) -> str:
        for block, prefixes in self.blocks.items():
            if name.startswith(prefixes):
                self.seen_block = True
                return block
        if not name.startswith(self.prefix + "."):
            return HEAD
        return self._outside(name.removeprefix(self.prefix + "."))

    def _outside(self, path: str) -> str:
        for pattern, unit in self.exceptions:
            if pattern.fullmatch(path):
                return unit if unit == EMBEDDINGS or not self.blocks else next(iter(self.blocks))
        if _EMBEDDING_NAMES.search(path):
            return EMBEDDINGS
        if _FINAL_NAMES.search(path) or self.seen_block:
            return self._after_blocks(f"{self.prefix}.{path}")
        return EMBEDDINGS

    def _after_blocks(self, name: str) -> str:
        """Returns the unit of a tensor behind a stack of blocks.

        What follows a lower stack (T5's encoder norm) belongs to that stack's last block: it trains only if
        gradients cross the stacks above.
        """
        top = next(reversed(self.stacks), "")
        for holder, last_block in self.stacks.items():
            if name.startswith(holder + ".") and not (top + ".").startswith(holder + "."):
                return last_block
        return FINAL
