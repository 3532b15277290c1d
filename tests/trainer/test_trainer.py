"""The loop: exact resume, every row once an epoch, exactly the declared tensors change, early stopping."""

import math

import pytest
import torch
from run_tensors import same, weights

from ftcli.plan.optimizer_state import named_state
from ftcli.trainer.signals import Interrupted


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().numpy().tobytes()


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
