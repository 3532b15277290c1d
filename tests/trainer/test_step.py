"""One step: exact accumulation, nothing non-finite applied, clipping, regularisers, gradient checkpointing."""

import math

import numpy as np
import pytest
import torch
from run_tensors import same, weights

from ftcli.errors import NonFiniteError
from ftcli.plan.optimizer_state import named_state


def gradients(make, micro: int, dtype: torch.dtype) -> torch.Tensor:
    """Returns the flat gradient, as the optimizer gets it, of a ragged batch of 11 rows in micro-batches of `micro`."""
    trainer, _ = make(
        "model.dropout=0",
        "trainer.batch_size=16",
        f"trainer.micro_batch_size={micro}",
        "trainer.max_grad_norm=null",
        "task.label_smoothing=0.1",
    )
    trainer.context.model.to(dtype)
    caught: list[torch.Tensor] = []
    trainer.optimizer.register_step_pre_hook(
        lambda *_: caught.append(torch.cat([p.grad.flatten() for p in trainer.train_step.trained]))
    )
    trainer.train_step.set_train_mode()
    trainer.train_step(np.arange(11))
    return caught[0]


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_accumulation_is_exact_in_fp32(make, micro):
    whole, split = gradients(make, 16, torch.float32), gradients(make, micro, torch.float32)
    assert (whole - split).norm() / whole.norm() <= 1e-5


@pytest.mark.parametrize("micro", [1, 2, 3, 4])
def test_accumulation_is_exact_in_fp64(make, micro, monkeypatch):
    # The loss is reduced in fp32 on purpose; for this comparison it must not be.
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    whole, split = gradients(make, 16, torch.float64), gradients(make, micro, torch.float64)
    assert whole.dtype == torch.float64 and (whole - split).norm() / whole.norm() <= 1e-12


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_nothing_non_finite_is_applied(make, poison):
    trainer, plan = make()
    trainer.train_step(np.arange(8))
    before = weights(trainer)
    if poison == "loss":
        trainer.context.task.compute_loss = _poisoned(trainer.context.task.compute_loss)
    else:
        head = trainer.context.model.classifier.weight
        trainer.context.regularisers = [
            lambda model: (head.sum() * 0).sqrt()
        ]  # finite loss, infinite gradient
    with pytest.raises(NonFiniteError) as caught:
        trainer.train_step(np.arange(8))
    assert same(before, weights(trainer)) and trainer.state.step == 1
    assert "optimizer.lr=" in caught.value.problems[0].hint and caught.value.exit_code == 1


def _poisoned(compute):
    def loss(model, batch, *, train):
        output = compute(model, batch, train=train)
        output.loss_sum = output.loss_sum * math.nan
        return output

    return loss


def test_infinite_fp16_gradients_skip_steps_and_twenty_stop(make):
    trainer, plan = make("trainer.precision=fp16", "trainer.epochs=10")
    head = trainer.context.model.classifier.weight
    trainer.context.regularisers = [lambda model: (head.sum() * 0).sqrt()]
    before = weights(trainer)
    for _ in range(3):
        trainer.train_step(np.arange(8))
    assert same(before, weights(trainer)) and trainer.state.skipped_steps == trainer.state.skipped_in_row == 3
    bad, trainer.context.regularisers = trainer.context.regularisers, []
    trainer.train_step(np.arange(8))
    assert not same(before, weights(trainer)) and trainer.state.skipped_in_row == 0
    trainer.context.regularisers = bad
    with pytest.raises(NonFiniteError, match="20 steps in a row"):
        for _ in range(25):
            trainer.train_step(np.arange(8))
    assert trainer.state.skipped_steps == 23


def test_a_non_finite_later_micro_batch_applies_nothing(make):
    """The first two of three micro-batches are sound; the weights, the optimizer and the counters stay as they are."""
    trainer, _ = make("trainer.micro_batch_size=3")
    trainer.train_step(np.arange(8))
    before, moments = weights(trainer), named_state(trainer.optimizer)
    moments = {name: tensor.clone() for name, tensor in moments.items()}
    calls, compute = [], trainer.context.task.compute_loss

    def third_is_nan(model, batch, *, train):
        calls.append(1)
        output = compute(model, batch, train=train)
        if len(calls) == 3:
            output.loss_sum = output.loss_sum * math.nan
        return output

    trainer.context.task.compute_loss = third_is_nan
    with pytest.raises(NonFiniteError, match="step 2.*the loss is nan; nothing of this step was applied"):
        trainer.train_step(np.arange(8))
    assert len(calls) == 3 and trainer.state.step == 1 and same(before, weights(trainer))
    assert same(moments, named_state(trainer.optimizer))


@pytest.mark.parametrize("share", [0.5, 0.999999, 1.0, 1.000001, 2.0])
def test_clipping_gives_the_bits_of_clip_grad_norm(make, share):
    """Within the limit nothing is multiplied; torch multiplies by 1 there."""
    words = ("model.dropout=0", "trainer.fast_paths=false", "optimizer=sgd", "optimizer.momentum=0")
    reference, _ = make(*words, "trainer.max_grad_norm=null")
    rows = reference.next_rows()
    caught: dict[str, list[torch.Tensor]] = {"free": [], "clipped": []}

    def catch(trainer, name):
        trainer.optimizer.register_step_pre_hook(
            lambda *_: caught[name].extend(p.grad.clone() for p in trainer.train_step.trained)
        )
        return trainer.train_step(rows).grad_norm

    norm = catch(reference, "free")
    limited, _ = make(*words, f"trainer.max_grad_norm={norm * share}", folder="limited")
    assert catch(limited, "clipped") == norm
    holders = [torch.nn.Parameter(gradient) for gradient in caught["free"]]
    for holder, gradient in zip(holders, caught["free"], strict=True):
        holder.grad = gradient
    torch.nn.utils.clip_grad_norm_(holders, norm * share)
    assert all(torch.equal(h.grad, c) for h, c in zip(holders, caught["clipped"], strict=True))


def test_gradients_are_clipped_to_the_norm(make):
    trainer, _ = make("trainer.max_grad_norm=1e-3", "optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=1",
                      "optimizer.weight_decay=0", "scheduler=constant", "scheduler.warmup=0")  # fmt: skip
    before = weights(trainer)
    norm = trainer.train_step(np.arange(8)).grad_norm
    moved = math.sqrt(sum(float((t - before[n]).square().sum()) for n, t in weights(trainer).items()))
    assert moved == pytest.approx(1e-3, rel=1e-3)
    assert norm > 1e-3


def test_a_regulariser_and_work_after_a_step_are_called(make):
    plain, _ = make("model.dropout=0")
    pulled, _ = make("model.dropout=0")
    steps = []
    pulled.context.regularisers = [lambda model: 10 * model.classifier.weight.square().sum()]
    pulled.context.after_step = [
        lambda model, step, total: steps.append((step, total, model.classifier.weight.grad is not None))
    ]
    for trainer in (plain, pulled):
        for _ in range(3):
            trainer.train_step(np.arange(8))
    # 7 steps an epoch, 2 epochs; the gradients that were applied are still there.
    assert steps == [(1, 14, True), (2, 14, True), (3, 14, True)]
    assert pulled.context.model.classifier.weight.grad is None
    assert pulled.context.model.classifier.weight.norm() < plain.context.model.classifier.weight.norm()


def test_gradient_checkpointing_trains_the_same(make):
    plain, plan = make("trainer.max_steps=3", folder="a")
    saving, other = make("trainer.max_steps=3", "trainer.gradient_checkpointing=true", folder="b")
    plain.fit()
    saving.fit()
    assert any(getattr(m, "gradient_checkpointing", False) for m in saving.context.model.modules())
    for name, tensor in weights(plain).items():
        assert torch.allclose(tensor, weights(saving)[name], atol=1e-6), name
