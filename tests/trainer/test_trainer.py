"""The loop: exact accumulation, exact resume, nothing non-finite applied, exactly the declared tensors change."""

import math

import numpy as np
import pytest
import torch

from ftcli.errors import NonFiniteError
from ftcli.plan.optimizer_state import named_state
from ftcli.trainer.signals import Interrupted


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.context.model.named_parameters()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().numpy().tobytes()


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


@pytest.mark.parametrize("stop_at", [1, 6, 7, 8, 13])
def test_a_resumed_run_is_bit_identical(make, stop_at):
    """50 rows in batches of 8 are 7 steps an epoch: stops inside, at and after the boundary; dropout on."""
    options = ("trainer.micro_batch_size=3", "trainer.eval_every_n_steps=3", "trainer.save_every_n_steps=2")
    whole, plan = make(*options, folder="whole")
    whole.fit()
    first, plan = make(*options, folder="stopped")
    first.context.after_step = [
        lambda model, step, total: setattr(first.stop, "signum", 15) if step == stop_at else None
    ]
    with pytest.raises(Interrupted):
        first.fit()
    again, plan = make(*options, folder="stopped")
    checkpoint = again.context.store.latest()
    assert checkpoint.step == stop_at
    again.restore(checkpoint)
    again.fit()
    assert same(weights(whole), weights(again))
    assert same(named_state(whole.optimizer), named_state(again.optimizer))
    assert whole.state.best_step == again.state.best_step and whole.state.best_eval == again.state.best_eval

    def lines(*parts):
        events = [e for part in parts for e in part.context.events.logged if e["event"] == "train"]
        return [(e["step"], e["loss"], e["lr"]) for e in events]

    assert lines(whole) == lines(first, again)


def test_a_signal_inside_an_evaluation_saves_and_evaluates_again(make):
    options = ("trainer.eval_every_n_steps=4",)
    whole, plan = make(*options, folder="whole")
    whole.fit()
    first, plan = make(*options, folder="stopped")

    def check():
        first.stop.signum = 2
        first.stop.check()

    first.context.evaluator.check = check
    with pytest.raises(Interrupted) as stopped:
        first.fit()
    assert stopped.value.exit_code == 130 and first.state.step == 4 and first.state.evaluated_step == 0
    again, plan = make(*options, folder="stopped")
    again.restore(again.context.store.latest())
    again.fit()
    assert same(weights(whole), weights(again)) and whole.state.last_eval == again.state.last_eval


def test_every_row_is_seen_once_an_epoch_and_the_lr_follows_the_curve(make):
    trainer, plan = make("scheduler.warmup=4st", "trainer.epochs=2")
    seen: list[int] = []
    following = trainer.next_rows
    trainer.next_rows = lambda: (seen.extend((rows := following()).tolist()), rows)[1]
    trainer.fit()
    assert sorted(seen[:50]) == sorted(seen[50:]) == list(range(50)) and seen[:50] != seen[50:]
    rates = [e["lr"]["decay"] for e in trainer.context.events.logged if e["event"] == "train"]
    expected = [1e-3 * (s + 1) / 4 if s < 4 else 1e-3 * (14 - s) / 10 for s in range(14)]
    assert rates == pytest.approx(expected)


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


def test_a_resumed_fp16_run_keeps_its_loss_scale(make):
    """The scale halves at the infinite gradient of step 3 and must still be halved after the resume."""
    options = ("trainer.precision=fp16", "trainer.epochs=1")

    def poisoned(folder: str):
        trainer, plan = make(*options, folder=folder)
        head = trainer.context.model.classifier.weight
        trainer.context.regularisers = [
            lambda model: (head.sum() * 0).sqrt() if trainer.state.step == 2 else head.sum() * 0
        ]
        return trainer, plan.plan

    whole, plan = poisoned("whole")
    worked: list[int] = []
    whole.context.after_step = [lambda model, step, total: worked.append(step)]
    whole.fit()
    assert worked == [1, 2, 4, 5, 6, 7]  # nothing was applied in step 3
    first, plan = poisoned("stopped")
    first.context.after_step = [
        lambda model, step, total: setattr(first.stop, "signum", 2) if step == 5 else None
    ]
    with pytest.raises(Interrupted):
        first.fit()
    again, plan = poisoned("stopped")
    fresh = again.train_step.scaler.get_scale()
    again.restore(again.context.store.latest())
    assert again.train_step.scaler.get_scale() == fresh / 2 and again.state.skipped_steps == 1
    again.fit()
    assert (
        same(weights(whole), weights(again))
        and whole.train_step.scaler.get_scale() == again.train_step.scaler.get_scale()
    )


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


def test_head_only_leaves_the_base_byte_for_byte(make):
    trainer, built = make("freezing=head-only", "optimizer.weight_decay=0.1")
    state = {name: tensor.clone() for name, tensor in trainer.context.model.state_dict().items()}
    trainer.fit()
    now = trainer.context.model.state_dict()
    changed = {name for name in state if bits(state[name]) != bits(now[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("words", [
    (), ("freezing=head-only",), ("freezing=bias-only",), ("freezing=embeddings",),
    ("freezing=bottom-layers", "freezing.num_layers=1"), ("peft=lora",), ("optimizer=sgd",),
])  # fmt: skip
def test_exactly_the_declared_tensors_change(make, words):
    trainer, built = make(*words, "trainer.max_steps=3", "optimizer.weight_decay=0.1")
    before = weights(trainer)
    trainer.fit()
    changed = {name for name, tensor in weights(trainer).items() if not torch.equal(tensor, before[name])}
    declared = set(built.plan.phases[0].trainable)
    # A softmax does not feel a bias added to every key: its gradient is zero but for rounding.
    numb = {name for name in declared if name.endswith("key.bias")}
    assert changed - declared == set() and declared - changed <= numb
    assert {id(p) for p in trainer.train_step.trained} == {
        id(p) for n, p in trainer.context.model.named_parameters() if n in declared
    }


def test_frozen_blocks_run_without_dropout(make):
    trainer, _ = make("freezing=head-only")
    trainer.train_step.set_train_mode()
    assert not any(m.training for m in trainer.context.model.bert.modules())
    trainer, _ = make("freezing=bottom-layers", "freezing.num_layers=1")
    trainer.train_step.set_train_mode()
    layers = trainer.context.model.bert.encoder.layer
    assert not layers[0].training and all(m.training for m in layers[1].modules())
    trainer, _ = make("peft=lora")
    trainer.train_step.set_train_mode()
    assert all(m.training for m in trainer.context.model.bert.encoder.layer.modules())


def test_early_stopping_counts_evaluations(make):
    trainer, plan = make(
        "trainer.epochs=9", "trainer.monitor=loss", "trainer.patience=2", "trainer.min_delta=100"
    )
    trainer.fit()
    assert (
        trainer.state.phase_ended == "early stopping"
        and trainer.state.best_step == 7
        and trainer.state.step == 21
    )


def test_a_resume_with_less_patience_ends_at_once_and_logs_its_open_window(make):
    """The steps since the last line are logged though this process makes none."""
    words = (
        "trainer.monitor=loss",
        "trainer.min_delta=100",
        "trainer.eval_every_n_steps=2",
        "trainer.log_every_n_steps=50",
    )
    first, _ = make(*words)
    first.context.after_step = [
        lambda model, step, total: setattr(first.stop, "signum", 2) if step == 4 else None
    ]
    with pytest.raises(Interrupted):
        first.fit()
    again, _ = make(*words, "trainer.patience=1")
    again.restore(again.context.store.latest())
    again.fit()
    (line,) = [e for e in again.context.events.logged if e["event"] == "train"]
    assert again.state.phase_ended == "early stopping" and again.state.step == line["step"] == 4
    assert line["lr"].keys() == {"decay", "no-decay"} and math.isnan(line["grad_norm"])


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
