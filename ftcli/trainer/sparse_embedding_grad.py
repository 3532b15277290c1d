"""Gradients of embedding tables, as the rows that a step touched.

A batch of some hundred tokens gives a gradient to as many of a vocabulary's thirty thousand rows. torch
fills a new table with zeros for it in every step, and clipping reads and writes all of them: for MiniLM
on a CPU a seventh of the step. Here the table's gradient comes as rows (`torch.nn.Embedding.sparse`),
clipping sees only those, and the optimizer gets one table of zeros, reused in every step, in which
only the touched rows are written and cleared again. Its arithmetic stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

SMALLEST_TABLE = 2048
"""Rows below which there is nothing to gain."""


class SparseEmbeddingGradients:
    """The large embedding tables among the parameters that train in a phase.

    Args:
        model: its embeddings are switched to sparse gradients.
        trained: the parameters of the phase.
        rows: False: every gradient is left as torch makes it.
    """

    def __init__(self, model: nn.Module, trained: Sequence[nn.Parameter], *, rows: bool) -> None:
        self.trained = trained
        found = _tables(model, trained) if rows else set()
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.sparse = id(module.weight) in found
        self._zeros: dict[int, torch.Tensor] = {}
        self._taken: list[tuple[nn.Parameter, torch.Tensor, nn.Parameter]] = []

    def take(self) -> list[nn.Parameter]:
        """Takes the gradients off the tables.

        Returns:
            Parameters whose gradients are all that this step has: each parameter itself, but for a table
            a stand-in of shape (num_touched, width).
        """
        self._taken, whole = [], []
        for parameter in self.trained:
            if parameter.grad is None or not parameter.grad.is_sparse:
                whole.append(parameter)
                continue
            gradient = parameter.grad.coalesce()
            rows = nn.Parameter(gradient.values(), requires_grad=False)
            rows.grad = gradient.values()
            parameter.grad = None
            self._taken.append((parameter, gradient.indices()[0], rows))
        return whole + [rows for *_, rows in self._taken]

    def put_back(self) -> None:
        """Gives each table a gradient of its own shape, zero but for the rows that were taken."""
        for table, index, rows in self._taken:
            assert rows.grad is not None
            zeros = self._zeros.get(id(table))
            if zeros is None:
                zeros = self._zeros[id(table)] = torch.zeros_like(table, requires_grad=False)
            table.grad = zeros.index_copy_(0, index, rows.grad)

    def clear(self) -> None:
        """Makes the reused tables zero again; to be called once their gradients are no longer needed."""
        for table, index, _ in self._taken:
            self._zeros[id(table)].index_fill_(0, index, 0.0)
            table.grad = None
        self._taken = []


def _tables(model: nn.Module, trained: Sequence[nn.Parameter]) -> set[int]:
    """Returns the ids of the weights of large embeddings that nothing but their own lookup reads."""
    wanted = {id(parameter) for parameter in trained}
    readers: dict[int, list[Any]] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None and id(parameter) in wanted:
                readers.setdefault(id(parameter), []).append(module)
    return {
        id(module.weight)
        for (module, *more) in readers.values()
        if not more
        and type(module) is nn.Embedding
        and module.num_embeddings >= SMALLEST_TABLE
        and module.max_norm is None
        and not module.scale_grad_by_freq
    }
