"""Gradients of embedding tables as rows: the same numbers as torch's own whole tables, by one word."""

import numpy as np
import pytest
import torch
from torch import nn

from ftcli.trainer import sparse_embedding_grad as table_gradients
from ftcli.trainer.signals import Interrupted
from ftcli.trainer.sparse_embedding_grad import SparseEmbeddingGradients

TABLE = "embeddings.word_embeddings.weight"

pytestmark = pytest.mark.cpu("gradients as rows are a fast path of the CPU")


@pytest.fixture
def small_tables(monkeypatch):
    monkeypatch.setattr(table_gradients, "SMALLEST_TABLE", 1)


def trained(make, fast: bool, *words: str, steps: int = 7, dtype=torch.float32):
    """Returns the weights after some steps, the norms of their gradients, and the last gradient of the table."""
    folder = f"fast-{fast}"
    trainer, _ = make("model.dropout=0", f"trainer.fast_paths={str(fast).lower()}", *words, folder=folder)
    trainer.context.model.to(dtype)
    name = next(n for n, _ in trainer.context.model.named_parameters() if n.endswith(TABLE))
    table, seen = trainer.context.model.get_parameter(name), []
    trainer.optimizer.register_step_pre_hook(
        lambda *_: seen.append((table.grad.is_sparse, table.grad.clone()))
    )
    norms = []
    for _ in range(steps):
        norms.append(trainer.train_step(trainer.next_rows()).grad_norm)
    weights = {name: p.detach().clone() for name, p in trainer.context.model.named_parameters()}
    return weights, norms, seen, trainer


@pytest.mark.parametrize("words", [(), ("trainer.micro_batch_size=3",), ("trainer.max_grad_norm=null",)])
def test_the_gradients_are_those_of_whole_tables(make, small_tables, monkeypatch, words):
    # The loss is reduced in fp32 on purpose; for this comparison it must not be.
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    fast, fast_norms, fast_seen, trainer = trained(make, True, *words, dtype=torch.float64)
    whole, whole_norms, whole_seen, reference = trained(make, False, *words, dtype=torch.float64)
    assert trainer.context.model.get_input_embeddings().sparse
    assert not reference.context.model.get_input_embeddings().sparse
    np.testing.assert_allclose(fast_norms, whole_norms, rtol=1e-12)
    for (sparse, rows), (_, table) in zip(fast_seen, whole_seen, strict=True):
        assert not sparse
        torch.testing.assert_close(rows, table, rtol=0, atol=1e-13)
    for name, value in whole.items():
        torch.testing.assert_close(fast[name], value, rtol=0, atol=1e-11, msg=name)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_loss_curve_is_that_of_whole_tables(make, small_tables, optimizer):
    """fp32, two epochs; every optimizer gets an ordinary table."""
    curves = []
    for fast in ("true", "false"):
        trainer, _ = make(
            "model.dropout=0", f"optimizer={optimizer}", f"trainer.fast_paths={fast}", folder=f"{fast}-curve"
        )
        trainer.fit()
        curves.append([e["loss"] for e in trainer.context.events.logged if e["event"] == "train"])
    np.testing.assert_allclose(*curves, rtol=2e-5)


def test_rows_without_a_token_keep_a_zero_gradient_from_step_to_step(make, small_tables):
    """The kept table is cleared: what one step touched is zero in the next, unless touched again."""
    _, _, seen, trainer = trained(make, True)
    used = [set(torch.nonzero(gradient.any(1)).flatten().tolist()) for _, gradient in seen]
    assert used[0] != used[1]
    trainer.state.epoch = trainer.state.batch = 0
    for number in range(2):
        rows = trainer.next_rows()
        tokens = set()
        for row in rows:
            start, end = trainer.context.train.offsets[row : row + 2]
            tokens |= set(trainer.context.train.ids[start:end].tolist())
        trainer.state.batch += 1
        assert used[number] <= tokens
    assert trainer.context.model.get_input_embeddings().weight.grad is None


class Tied(nn.Module):
    """A model whose output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 4)
        self.out = nn.Linear(4, 8, bias=False)
        self.out.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.table(ids))


class Scaled(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 4, **options)


@pytest.mark.parametrize(
    "model", [Tied(), Scaled(scale_grad_by_freq=True), Scaled(max_norm=1.0)], ids=["tied", "scaled", "normed"]
)
def test_tables_that_something_else_reads_are_left_alone(small_tables, model):
    gradients = SparseEmbeddingGradients(model, list(model.parameters()), rows=True)
    assert not model.table.sparse
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert gradients.take() == list(model.parameters())


def test_a_table_that_also_gets_a_whole_gradient_is_left_whole(small_tables):
    """Such as from a penalty on all weights: torch adds both to a whole table."""
    model = Scaled()
    gradients = SparseEmbeddingGradients(model, list(model.parameters()), rows=True)
    (model.table(torch.tensor([1, 2])).sum() + model.table.weight.square().sum()).backward()
    expected = model.table.weight.grad.clone()
    (taken,) = gradients.take()
    gradients.put_back()
    assert taken is model.table.weight and torch.equal(model.table.weight.grad, expected)
    gradients.clear()


def test_a_frozen_table_gives_none(make, small_tables):
    trainer, _ = make("freezing=embeddings")
    assert not trainer.context.model.get_input_embeddings().sparse
    trainer.train_step(trainer.next_rows())


def test_a_resumed_run_is_bit_identical(make, small_tables):
    """Dropout on, all fast paths on; stopped inside the second epoch."""
    whole, _ = make(folder="whole")
    whole.fit()
    first, _ = make(folder="stopped")
    first.context.after_step = [
        lambda model, step, total: setattr(first.stop, "signum", 15) if step == 9 else None
    ]
    with pytest.raises(Interrupted):
        first.fit()
    again, _ = make(folder="stopped")
    again.restore(again.context.store.latest())
    assert again.state.step == 9 and again.context.model.get_input_embeddings().sparse
    again.fit()
    ours, theirs = (dict(t.context.model.named_parameters()) for t in (again, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
