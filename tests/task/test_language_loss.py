"""The loss of a language model: that of plain transformers, at targets alone, in chunks, and none of PAD's doing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny_language
import torch
from tiny_language import batch_of

from ftcli.config.compose import load
from ftcli.run.inputs import load_inputs
from ftcli.run.model import build_model, ready_head
from ftcli.task import _head_tap, _log_probs

ROWS = np.arange(11)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Returns a function: decoder and words -> (task, model, training table, tokenizer), built as a run builds them."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def build(name: str = "gpt2", *own: str, kind: torch.dtype = torch.float32, weights: bool = True):
        task, model, table, tokenizer = tiny_language.built(tmp_path, name, *own, weights=weights)
        return task, model.to(kind), table, tokenizer

    return build


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def plain(model, table, rows, side="right"):
    """Returns the sum of losses that transformers itself computes from `labels=`, and the gradients."""
    ids = [torch.from_numpy(table.row(row).astype(np.int64)) for row in rows]
    width = max(map(len, ids))
    room = [torch.zeros(width - len(one), dtype=torch.long) for one in ids]
    pairs = list(zip(ids, room, strict=True))
    ordered = [(a, b) if side == "right" else (b, a) for a, b in pairs]
    inputs = torch.stack([torch.cat(pair) for pair in ordered])
    real = torch.stack([torch.cat([torch.ones_like(a), b * 0] if side == "right" else [b * 0, torch.ones_like(a)])
                        for a, b in pairs])  # fmt: skip
    labels = inputs.masked_fill(real == 0, -100)
    model.zero_grad()
    targets = sum(len(one) - 1 for one in ids)
    loss = model(input_ids=inputs, attention_mask=real, labels=labels, use_cache=False).loss * targets
    loss.backward()
    return loss.detach(), gradients(model)


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama-tied", "gemma2"])
@pytest.mark.parametrize(("kind", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_loss_and_gradients_are_those_of_plain_transformers(name, kind, limit, make, monkeypatch):
    monkeypatch.setattr(_log_probs, "CHUNK_BYTES", 320 * 8 * 7)  # several chunks, the last one ragged
    if kind is torch.float64:
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    task, model, table, tokenizer = make(name, kind=kind)
    model.train()
    expected, grads = plain(model, table, ROWS)
    model.zero_grad()
    output = task.compute_loss(model, batch_of(task, table, tokenizer, ROWS), train=True)
    output.loss_sum.backward()
    assert float((output.loss_sum.detach() - expected).abs() / expected) <= limit
    found = gradients(model)
    assert found.keys() == grads.keys()
    for key, own in grads.items():
        assert float((found[key] - own).abs().max()) <= limit * max(1.0, float(own.abs().max())), key
    assert output.num_targets == task.num_targets(table, ROWS) == int((table.lengths[ROWS] - 1).sum())


def test_the_loss_of_bf16_states_is_that_of_their_exact_values(make):
    """Sums, softmax and the gradient of the projection are wider than the states, whatever the number of chunks."""
    torch.manual_seed(0)
    states, weight = torch.randn(300, 16).bfloat16(), torch.randn(97, 16)
    targets = torch.randint(0, 97, (300,))
    wide = [t.double().requires_grad_() for t in (states, weight)]
    exact = torch.nn.functional.cross_entropy(wide[0] @ wide[1].t(), targets, reduction="sum")
    exact.backward()
    own = [t.clone().requires_grad_() for t in (states, weight)]
    loss, scores = _log_probs.loss_and_scores(*own, None, targets)
    loss.backward()
    assert loss.dtype is torch.float32 and float(abs(loss.detach() - exact.detach()) / exact.detach()) < 1e-6
    assert float((own[1].grad - wide[1].grad).abs().max() / wide[1].grad.abs().max()) < 1e-5
    assert own[0].grad.dtype is torch.bfloat16
    assert float((own[0].grad.double() - wide[0].grad).abs().max() / wide[0].grad.abs().max()) < 1e-2
    assert float(-scores[:, 0].sum() - exact.detach()) == pytest.approx(0, abs=1e-2)


def test_top_counts_what_no_other_token_exceeds():
    states = torch.eye(3)
    weight = torch.tensor([[2.0, 0, 1], [1, 0, 1], [0, 0, 3]])
    _, scores = _log_probs.loss_and_scores(states, weight, None, torch.tensor([0, 1, 1]))
    assert scores[:, 1].tolist() == [1, 1, 0]  # all three are equally probable in the second
    bias = torch.tensor([0.0, 1.0, 0.0])
    _, moved = _log_probs.loss_and_scores(states, weight, bias, torch.tensor([0, 0, 1]))
    assert moved[:, 1].tolist() == [1, 0, 0]
    whole, same = _log_probs.scores_of_logits(states @ weight.t() + bias, torch.tensor([0, 0, 1]))
    assert torch.allclose(moved, same) and float(whole) == pytest.approx(-float(moved[:, 0].sum()))


@pytest.mark.parametrize(("kind", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_accumulation_changes_nothing(kind, limit, make, monkeypatch):
    """Of 16 rows as long as they come: 1 x 16, 2 x 8 and 4 x 4 give the same gradients, and so does a ragged split."""
    if kind is torch.float64:
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    task, model, table, tokenizer = make("gpt2", kind=kind)  # Llama's norms round to fp32 on their own
    rows = np.arange(16)
    assert len(set(table.lengths[rows].tolist())) > 3
    targets = task.num_targets(table, rows)

    def of(size):
        model.zero_grad()
        for start in range(0, len(rows), size):
            piece = batch_of(task, table, tokenizer, rows[start : start + size])
            (task.compute_loss(model, piece, train=True).loss_sum / targets).backward()
        return torch.cat([grad.flatten() for grad in gradients(model).values()])

    whole = of(16)
    for size in (8, 4, 3, 1):
        assert float((of(size) - whole).norm() / whole.norm()) <= limit, size


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_row_scores_alone_as_in_a_padded_batch(side, make):
    task, model, table, tokenizer = make("llama")
    model.eval()
    with torch.no_grad():
        together = task.compute_loss(
            model, batch := batch_of(task, table, tokenizer, ROWS, side), train=False
        )
        records = task.records(together, batch)
        for row in ROWS:
            alone = task.compute_loss(
                model, own := batch_of(task, table, tokenizer, ROWS[row : row + 1]), train=False
            )
            np.testing.assert_allclose(task.records(alone, own)[0], records[row], rtol=1e-5)


def test_logits_are_computed_at_targets_alone_and_never_whole(make, monkeypatch):
    task, model, table, tokenizer = make("gpt2")
    assert _head_tap.selects_logits(model)
    monkeypatch.setattr(_log_probs, "CHUNK_BYTES", 320 * 4 * 5)
    seen = []
    product = _log_probs._Projection.__call__

    def watched(self, states):
        logits = product(self, states)
        seen.append(tuple(logits.shape))
        return logits

    monkeypatch.setattr(_log_probs._Projection, "__call__", watched)
    whole = []
    model.lm_head.register_forward_hook(lambda *_: whole.append(1))
    batch = batch_of(task, table, tokenizer, ROWS)
    task.compute_loss(model, batch, train=True).loss_sum.backward()
    assert not whole and max(rows for rows, _ in seen) == 5
    assert sum(rows for rows, _ in seen) == len(batch["labels"]) < batch["input_ids"].numel()


def test_a_model_that_bounds_its_logits_is_computed_whole(make):
    task, model, table, tokenizer = make("gemma2")
    assert not _head_tap.selects_logits(model)
    assert "Gemma2ForCausalLM changes its logits" in task.prepare(model)[0]


def test_soft_prompts_and_adapters_are_selected_too(make):
    for peft in ("lora", "prompt-tuning", "prefix-tuning"):
        more = ["peft.num_virtual_tokens=3"] if peft != "lora" else []
        task, model, table, tokenizer = make("llama", f"peft={peft}", *more)
        assert _head_tap.selects_logits(model), peft
        model.eval()
        batch = batch_of(task, table, tokenizer, ROWS)
        selected = task.compute_loss(model, batch, train=False)
        model.__dict__[_head_tap.TRIED] = False
        whole = task.compute_loss(model, batch, train=False)
        assert torch.allclose(selected.logits, whole.logits, atol=1e-5), peft
        trained = {name for name, p in model.named_parameters() if p.grad is not None}
        assert not trained


def test_a_batch_without_targets_takes_part_in_a_backward_pass(make):
    task, model, table, tokenizer = make("llama", "task.document_start=none", "task.document_end=none")
    table.labels[:] = 0
    output = task.compute_loss(model, batch_of(task, table, tokenizer, ROWS), train=True)
    output.loss_sum.backward()
    assert output.num_targets == 0 and float(output.loss_sum.detach()) == 0.0
    assert all(not grad.any() for grad in gradients(model).values())


def test_one_gradient_is_taken_of_a_loss():
    states = torch.randn(3, 4, requires_grad=True)
    loss, _ = _log_probs.loss_and_scores(states, torch.randn(5, 4), None, torch.tensor([0, 1, 2]))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        loss.backward()


def test_pad_is_the_end_token_and_the_end_is_learned(tmp_path, make):
    task, model, table, tokenizer = make("llama", "peft=none", weights=False)
    assert tokenizer.pad_id == tokenizer.backend.eos_token_id == 0
    batch = batch_of(task, table, tokenizer, ROWS)
    ends = int((table.ids[table.labels.astype(bool)] == 0).sum())
    assert ends == 40  # one a document
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert embeddings.padding_idx is None and bool(embeddings.weight[0].any())
    states = []

    def keep(module, inputs, output):
        output.retain_grad()
        states.append(output)

    embeddings.register_forward_hook(keep)
    task.compute_loss(model, batch, train=True).loss_sum.backward()
    assert bool(embeddings.weight.grad[0].any()), "END stands before each document, and its embedding learns"
    assert bool(head.weight.grad[0].any()), "END ends each document, and its logit learns"
    assert not states[0].grad[batch["attention_mask"] == 0].any(), "nothing is learned at padding"
    assert bool((batch["input_ids"][batch["attention_mask"] == 0] == 0).all())


def test_the_floor_of_a_batch_is_the_entropy_of_its_branches(make):
    """Two texts part at their second token: one bit there, nothing behind it."""
    from ftcli.task._branching import floor_of
    from ftcli.task._language import marked_table

    table = marked_table(np.array([0, 5, 6, 7, 0, 5, 8, 7, 0, 5, 6, 7], np.int32), np.array([0, 4, 8, 12]))
    entropy, share = floor_of(table, np.arange(3))
    assert entropy == pytest.approx(-(2 * math.log(2 / 3) + math.log(1 / 3)) / 9)
    assert share == pytest.approx(8 / 9)


def test_build_model_needs_no_trial(tmp_path, monkeypatch):
    """Without `prepare` the whole logits are computed, which is always right."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    inputs = load_inputs(load(tiny_language.words(tmp_path, "gpt2")).config)
    model = build_model(inputs).model.eval()
    table = inputs.task.encode(inputs.splits.train, inputs.tokenizer)
    batch = batch_of(inputs.task, table, inputs.tokenizer, ROWS)
    whole = inputs.task.compute_loss(model, batch, train=False)
    ready_head(inputs.task, model, "fp32")
    selected = inputs.task.compute_loss(model, batch, train=False)
    assert torch.allclose(whole.logits, selected.logits, atol=1e-5)
