"""Scoring: losses by hand, label smoothing in training alone, modes put back, order of rows kept."""

import numpy as np
import pytest
import torch

from ftcli.trainer.early_stopping import Monitor


def test_label_smoothing_counts_in_training_alone(make):
    """Both losses by their formula, from the probabilities of the untrained model."""
    smoothing = 0.3
    trainer, _ = make("model.dropout=0", "trainer.batch_size=50", f"task.label_smoothing={smoothing}")
    parts = trainer.context
    probabilities = np.stack(parts.evaluator.predict(parts.model, parts.train)).astype(np.float64)
    right = probabilities[np.arange(50), parts.train.labels]
    plain = -np.log(right).mean()
    smoothed = ((1 - smoothing) * -np.log(right) + smoothing / 2 * -np.log(probabilities).sum(1)).mean()
    assert parts.evaluator.score(parts.model, parts.train).figures["loss"] == pytest.approx(plain, rel=1e-5)
    trainer.train_step.set_train_mode()
    trainer.train_step(np.arange(50))
    window = trainer.state.window
    assert (
        window.loss_sum / window.targets == pytest.approx(smoothed, rel=1e-5) and abs(smoothed - plain) > 1e-3
    )


def test_modes_and_parameters_are_as_before(make):
    trainer, _ = make("freezing=bottom-layers", "freezing.num_layers=1")
    trainer.train_step.set_train_mode()
    model = trainer.context.model
    modes = {name: module.training for name, module in model.named_modules()}
    assert set(modes.values()) == {True, False}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.context.evaluator.score(model, trainer.context.validation)
    assert modes == {name: module.training for name, module in model.named_modules()}
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters())


def test_modes_come_back_after_an_interruption(make):
    trainer, _ = make()
    trainer.train_step.set_train_mode()
    trainer.stop.signum = 15
    with pytest.raises(Exception, match="SIGTERM"):
        trainer.context.evaluator.score(trainer.context.model, trainer.context.validation)
    assert all(module.training for module in trainer.context.model.modules())


def test_scores_do_not_hang_on_the_batch_size(make):
    """Rows come back in their order whatever the batches, and dropout is off."""
    trainer, _ = make()
    parts = trainer.context
    whole = parts.evaluator.score(parts.model, parts.train, keep=True)
    parts.evaluator.batch_size = 3
    split = parts.evaluator.score(parts.model, parts.train, keep=True)
    np.testing.assert_allclose(np.stack(whole.records), np.stack(split.records), atol=1e-6)
    assert whole.figures["accuracy"] == split.figures["accuracy"]
    right = (np.stack(whole.records).argmax(1) == parts.train.labels).mean()
    assert whole.figures["accuracy"] == pytest.approx(right)


def count_scores(trainer, monkeypatch) -> list:
    own, calls = trainer.context.evaluator.score, []
    monkeypatch.setattr(trainer.context.evaluator, "score", lambda *a, **k: calls.append(a) or own(*a, **k))
    return calls


def test_the_best_checkpoint_is_scored_again_only_where_the_model_holds_other_weights(make, monkeypatch):
    trainer, _ = make("trainer.max_steps=3")
    trainer.fit()
    parts, calls = trainer.context, count_scores(trainer, monkeypatch)
    scores, same_way = trainer.score_best()
    assert not calls and same_way and scores.figures == trainer.state.best_eval
    fresh = parts.evaluator.predict(parts.model, parts.validation)
    np.testing.assert_array_equal(np.stack(scores.records), np.stack(fresh))
    with torch.no_grad():
        next(parts.model.parameters()).view(-1)[7] += 1e-3
    again, same_way = trainer.score_best()
    assert len(calls) == 1 and same_way and again.figures == scores.figures
    np.testing.assert_array_equal(np.stack(scores.records), np.stack(again.records))


def test_an_earlier_best_is_scored_again(make, monkeypatch):
    trainer, _ = make("trainer.max_steps=3", "trainer.eval_every_n_steps=1", "optimizer.lr=1e-2")
    own = Monitor.record
    monkeypatch.setattr(
        Monitor, "record", lambda self, state, figures: state.step == 1 and own(self, state, figures)
    )
    trainer.fit()
    assert trainer.state.best_step == 1 and trainer.state.last_eval != trainer.state.best_eval
    calls = count_scores(trainer, monkeypatch)
    scores, same_way = trainer.score_best()
    assert len(calls) == 1 and same_way and scores.figures == trainer.state.best_eval
