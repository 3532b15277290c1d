"""Runs of several phases: what changes, what it is trained with, and every place where it may be interrupted."""

from __future__ import annotations

import os

import pytest
import torch
from phased_runs import HEAD_LAYER_REST, WORDS, agree, lines, stopper
from run_tensors import same, weights

from ftcli.plan.optimizer_state import named_state
from ftcli.trainer.signals import Interrupted
from ftcli.trainer.step import TrainStep


def test_exactly_the_declared_tensors_change_in_each_phase(phased, monkeypatch):
    trainer, built = phased(HEAD_LAYER_REST, *WORDS)
    seen = []
    before = weights(trainer)
    step = TrainStep.__call__

    def watched(self, rows):
        phase, old = trainer.state.phase, weights(trainer)
        result = step(self, rows)
        changed = {name for name, value in weights(trainer).items() if not torch.equal(value, old[name])}
        seen.append((phase, changed))
        return result

    monkeypatch.setattr(TrainStep, "__call__", watched)
    trainer.fit()
    assert [phase for phase, _ in seen] == [0] * 20 + [1] * 20 + [2] * 20
    for phase in built.plan.phases:
        changed = set().union(*(names for index, names in seen if index == phase.index))
        # Tokens that no row holds get no gradient: their table as a whole changes all the same.
        assert changed == set(phase.trainable), phase.index
    assert before.keys() == weights(trainer).keys()


def test_every_phase_has_its_own_rates_and_curve(phased):
    trainer, _ = phased(HEAD_LAYER_REST, *WORDS, "trainer.log_every_n_steps=1")
    trainer.fit()
    train = lines(trainer, "train")
    lr = {e["step"]: e["lr"] for e in train}
    # Linear over the longest possible run of the phase: 20 steps, the recipe's warmup of a tenth.
    for step in range(1, 21):
        factor = step / 2 if step <= 2 else (20 - (step - 1)) / 18
        assert lr[step] == pytest.approx({"phase0.decay": 1e-3 * factor, "phase0.no-decay": 1e-3 * factor})
    for step in range(21, 41):
        k = step - 21
        factor = (k + 1) / 4 if k < 4 else (20 - k) / 16
        assert lr[step]["phase0.decay"] == pytest.approx(1e-3 * factor)
        assert lr[step]["phase1.no-decay"] == pytest.approx(5e-4 * factor)
    assert lr[43]["phase2.decay"] == pytest.approx(1e-4)
    assert {type(trainer.optimizer).__name__} == {"SGD"}
    assert [e["phase"] for e in lines(trainer, "phase")] == [0, 1, 2]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_frozen_prefix_runs_without_autograd(phased, checkpointing):
    trainer, _ = phased(
        HEAD_LAYER_REST, *WORDS, f"trainer.gradient_checkpointing={str(checkpointing).lower()}"
    )
    model = trainer.context.model
    needed: dict[str, list[bool]] = {"embeddings": [], "layer0": [], "layer1": []}
    base = model.bert
    for name, module in (
        ("embeddings", base.embeddings),
        ("layer0", base.encoder.layer[0]),
        ("layer1", base.encoder.layer[1]),
    ):

        def hook(module, args, output, name=name):
            tensor = output[0] if isinstance(output, tuple) else output
            if torch.is_grad_enabled() and model.training:
                needed[name].append(tensor.requires_grad)

        module.register_forward_hook(hook)
    trainer.train_step(trainer.next_rows())
    assert not any(any(flags) for flags in needed.values())
    trainer.state.phase_ended = "test"
    trainer.state.best_step = trainer.state.step
    trainer.next_phase()
    needed = {name: [] for name in needed}
    trainer.train_step(trainer.next_rows())
    owned = {name for group in trainer.optimizer.param_groups for name in group["param_names"]}
    assert owned == set(trainer.position.phase.trainable)


INTERRUPTED = ("trainer.micro_batch_size=3", "trainer.log_every_n_steps=3")


@pytest.fixture
def uninterrupted(phased):
    trainer, _ = phased(HEAD_LAYER_REST, *WORDS, *INTERRUPTED, folder="whole")
    trainer.fit()
    assert trainer.state.step == 60 and [record["steps"] for record in trainer.state.phases] == [20, 20]
    return trainer


def cut(phased, folder: str, at: int):
    """Returns a run resumed from what `folder` holds and stopped after step `at`."""
    trainer, _ = phased(HEAD_LAYER_REST, *WORDS, *INTERRUPTED, folder=folder)
    checkpoint = trainer.context.store.latest()
    if checkpoint is not None:
        trainer.restore(checkpoint)
    if at < 60:
        trainer.context.after_step = [stopper(trainer, at)]
        with pytest.raises(Interrupted):
            trainer.fit()
        assert trainer.state.step == at
    else:
        trainer.fit()
    return trainer


def test_a_run_interrupted_after_every_step_ends_the_same(phased, uninterrupted):
    for at in range(1, 60):
        cut(phased, "chain", at)
    agree(uninterrupted, cut(phased, "chain", 60))


EVERY = range(1, 60) if os.environ.get("FTCLI_EVERY_STEP") else (1, 7, 19, 20, 21, 39, 40, 41, 59)


def test_one_interruption_at_a_step_ends_the_same(phased, uninterrupted):
    """Around the boundaries; FTCLI_EVERY_STEP=1 takes each of the 60 steps (make interruptions)."""
    for at in EVERY:
        cut(phased, f"cut{at}", at)
        agree(uninterrupted, cut(phased, f"cut{at}", 60))


@pytest.mark.parametrize(
    ("rules", "restores", "keeps"),
    [
        ("", True, True),
        ("restore_best: false", False, True),
        ("moments: reset", True, False),
        ("optimizer: sgd", True, False),
    ],
)
def test_a_phase_begins_from_the_best_checkpoint(phased, rules, restores, keeps):
    """The highest loss counts as best, so that the best evaluation is an early one."""
    text = f"0: {{params: [head], max_steps: 20, lr: 1.0e-2}}\n1: {{params: [rest], {rules}}}"
    trainer, _ = phased(
        text,
        *WORDS[1:],
        "trainer.max_steps=21",
        "trainer.monitor=loss",
        "trainer.mode=max",
        "scheduler=constant",
    )
    snapshots, moments, begun = {}, {}, []

    def snapshot(model, step, total):
        snapshots[step] = weights(trainer)
        moments[step] = {k: v.clone() for k, v in named_state(trainer.optimizer).items()}

    trainer.context.after_step = [snapshot]
    change = trainer.next_phase

    def watched():
        best = trainer.state.best_step
        change()
        begun.append(
            (best, weights(trainer), {k: v.clone() for k, v in named_state(trainer.optimizer).items()})
        )

    trainer.next_phase = watched
    trainer.fit()
    ((best, found, state),) = begun
    assert best < 20, "the test needs a best checkpoint before the boundary"
    assert same(found, snapshots[best if restores else 20])
    own = {k: v for k, v in moments[best if restores else 20].items() if k.startswith("classifier")}
    got = {k: v for k, v in state.items() if k.startswith("classifier") and v.numel()}
    assert (same(got, own)) == keeps and bool(got) == keeps
    assert all(not v.numel() for k, v in state.items() if not k.startswith("classifier"))
    assert lines(trainer, "phase")[1]["restored_step"] == (best if restores else None)


def test_the_best_score_carries_over_or_is_forgotten(phased):
    text = "0: {{params: [head], max_steps: 14, lr: 1.0e-3}}\n1: {{params: [rest], lr: 1.0e-30, best: {}}}"
    best = {}
    for rule in ("carry", "reset"):
        trainer, _ = phased(
            text.format(rule),
            *WORDS[1:],
            "trainer.max_steps=28",
            "trainer.monitor=loss",
            "trainer.mode=max",
            folder=rule,
        )
        trainer.fit()
        best[rule] = trainer.state.best_step
    assert best["carry"] <= 14 < best["reset"]
