"""NaN and infinities, put in at twenty places: nothing of them is updated or saved, and the error names the place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from run_tensors import weights

from ftcli.errors import NonFiniteError
from ftcli.plan.optimizer_state import named_state

NAN, INF = math.nan, math.inf


def unchanged(before, after):
    return all(
        torch.equal(value.nan_to_num(7.0), after[name].nan_to_num(7.0)) for name, value in before.items()
    )


def loss_is(value, micro_batch=1):
    """The loss of a task, replaced in one micro-batch of a step."""

    def put(trainer):
        calls, compute = [], trainer.context.task.compute_loss

        def loss(model, batch, *, train):
            output = compute(model, batch, train=train)
            calls.append(1)
            if len(calls) == micro_batch:
                output.loss_sum = output.loss_sum * value
            return output

        trainer.context.task.compute_loss = loss

    return put


def logits_are(value):
    def put(trainer):
        trainer.context.model.classifier.register_forward_hook(lambda module, inputs, output: output * value)

    return put


def gradient_of(name, value, element=None):
    """One element of a gradient, or all of it, while the loss is finite."""

    def put(trainer):
        def hook(gradient):
            gradient = gradient.clone()
            (gradient if element is None else gradient.view(-1)[element : element + 1]).fill_(value)
            return gradient

        dict(trainer.context.model.named_parameters())[name].register_hook(hook)

    return put


def weight(name, value, place):
    def put(trainer):
        with torch.no_grad():
            dict(trainer.context.model.named_parameters())[name][place] = value

    return put


def embedding_of_the_batch(value):
    def put(trainer):
        token = int(trainer.context.train.ids[0])
        weight("bert.embeddings.word_embeddings.weight", value, token)(trainer)

    return put


def hidden_states(value):
    def put(trainer):
        trainer.context.model.bert.encoder.layer[0].register_forward_hook(lambda m, i, output: output * value)

    return put


def embeddings_output(trainer):
    trainer.context.model.bert.embeddings.register_forward_hook(lambda m, i, output: output * NAN)


def regulariser(value):
    def put(trainer):
        trainer.context.regularisers = [lambda model: model.classifier.weight.sum() * value]

    return put


def infinite_slope(trainer):
    head = trainer.context.model.classifier.weight
    trainer.context.regularisers = [lambda model: (head.sum() * 0).sqrt()]


def constant_regulariser(trainer):
    trainer.context.regularisers = [lambda model: model.classifier.weight.detach().sum() * NAN]


def huge_gradients(trainer):
    """Each is finite, their norm is not: the sum of squares overflows."""
    gradient_of("classifier.weight", 3e38)(trainer)


def lr(trainer):
    trainer.objects.lr_lambda = lambda step: NAN


PLACES = {
    "loss nan": (loss_is(NAN), "the loss is nan"),
    "loss inf": (loss_is(INF), "the loss is inf"),
    "loss of the last micro-batch": (loss_is(NAN, micro_batch=3), "the loss is nan"),
    "logits nan": (logits_are(NAN), "the loss is nan"),
    "logits inf": (logits_are(INF), "the loss is nan"),
    "hidden states nan": (hidden_states(NAN), "the loss is nan"),
    "hidden states inf": (hidden_states(INF), "the loss is nan"),
    "input embeddings": (embeddings_output, "the loss is nan"),
    "gradient nan": (gradient_of("classifier.weight", NAN), "the gradient of classifier.weight holds NaN"),
    "gradient inf": (gradient_of("classifier.bias", INF), "the gradient of classifier.bias holds infinite numbers"),
    "one element of a gradient": (gradient_of("bert.encoder.layer.1.output.dense.weight", NAN, 5), "layer.1.output.dense.weight holds NaN"),
    "gradient of an embedding": (gradient_of("bert.embeddings.word_embeddings.weight", NAN, 40), "gradient norm is nan"),
    "norm of finite gradients": (huge_gradients, "the gradient norm is inf"),
    "weight of the head": (weight("classifier.weight", NAN, (0, 0)), "the weight classifier.weight holds NaN"),
    "weight of a block": (weight("bert.encoder.layer.0.attention.self.query.weight", INF, (3, 3)), "query.weight holds infinite"),
    "weight of a norm": (weight("bert.embeddings.LayerNorm.weight", NAN, 2), "LayerNorm.weight holds NaN"),
    "embedding of a token": (embedding_of_the_batch(NAN), "word_embeddings.weight holds NaN"),
    "regulariser": (regulariser(NAN), "the loss with its regularisers is nan"),
    "regulariser without gradient": (constant_regulariser, "the loss with its regularisers is nan"),
    "regulariser with an infinite slope": (infinite_slope, "the gradient norm is"),
    "lr": (lr, "the lr is nan"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("words", [(), ("trainer.max_grad_norm=null", "trainer.fast_paths=false")])
def test_the_step_is_not_applied(make, place, words):
    put, message = PLACES[place]
    trainer, _ = make("trainer.micro_batch_size=3", *words)
    trainer.train_step(np.arange(8))
    moments = {name: tensor.clone() for name, tensor in named_state(trainer.optimizer).items()}
    put(trainer)
    before = weights(trainer)
    with pytest.raises(NonFiniteError) as caught:
        trainer.train_step(np.arange(8))
    (problem,) = caught.value.problems
    assert (
        problem.key == "step 2" and message in problem.message and "nothing of this step" in problem.message
    )
    assert "optimizer.lr=1e-04" in problem.hint and caught.value.exit_code == 1
    assert unchanged(before, weights(trainer)) and trainer.state.step == 1
    assert unchanged(moments, named_state(trainer.optimizer))


def test_a_pixel_that_is_nan_is_named_as_the_input(make):
    trainer, _ = make(architecture="vit", task="image-classification")
    before, collate = weights(trainer), trainer.context.task.collate

    def broken(*args, **kwargs):
        batch = collate(*args, **kwargs)
        batch["pixel_values"][1, 0, 2, 2] = NAN
        return batch

    trainer.context.task.collate = broken
    with pytest.raises(NonFiniteError, match="the loss is nan .the input pixel_values holds NaN.") as caught:
        trainer.train_step(np.arange(8))
    assert "check-data" in caught.value.problems[0].hint and unchanged(before, weights(trainer))


@pytest.mark.parametrize("where", ["the weight", "the optimizer's state"])
def test_no_checkpoint_is_saved_of_what_no_step_can_see(make, where):
    """A row of the embeddings that no text reads: loss and gradients stay finite, the last good checkpoint stays."""
    trainer, _ = make("trainer.save_every_n_steps=2", "trainer.epochs=1", "trainer.eval_every_n_steps=2")
    name, step = "bert.embeddings.word_embeddings.weight", trainer.train_step

    def poisoned(rows):
        result = step(rows)
        if trainer.state.step == 3:
            parameter = dict(trainer.context.model.named_parameters())[name]
            target = (
                parameter.data if where == "the weight" else trainer.optimizer.state[parameter]["exp_avg"]
            )
            target[4] = NAN  # <mask>
        return result

    poisoned.__dict__.update(vars(step))
    trainer._enter_activation_cache = lambda: None
    trainer.train_step = _Calls(step, poisoned)
    with pytest.raises(NonFiniteError, match="holds NaN; no checkpoint of this step was saved") as caught:
        trainer.fit()
    assert name in str(caught.value)
    assert trainer.context.store.latest().step == 2


class _Calls:
    """A step whose call is another function; everything else is the step's."""

    def __init__(self, step, call):
        self.step, self.call = step, call

    def __call__(self, rows):
        return self.call(rows)

    def __getattr__(self, name):
        return getattr(self.step, name)


def test_fp16_applies_no_finite_gradients_of_an_infinite_norm(make):
    """The scaler sees finite gradients; clipped by an infinite norm they would be zeros, and the update weight decay alone."""
    trainer, _ = make("trainer.precision=fp16", "optimizer.weight_decay=0.1")
    trainer.train_step(np.arange(8))
    gradient_of("classifier.weight", 3e38)(trainer)
    trainer.train_step.scaler.update(new_scale=1.0)
    before = weights(trainer)
    trainer.train_step(np.arange(8))
    assert unchanged(before, weights(trainer)) and trainer.state.skipped_steps == 1


def test_a_batch_without_a_target_changes_nothing_but_counts(make):
    trainer, _ = make("optimizer.weight_decay=0", task="token-classification")
    trainer.context.train.extras["words"][:] = -1
    before = weights(trainer)
    task, collate = trainer.context.task, trainer.context.task.collate
    task.num_targets = lambda table, rows: 0

    def unlabelled(*args, **kwargs):
        batch = collate(*args, **kwargs)
        batch["labels"] = torch.full_like(batch["labels"], -100)
        return batch

    task.collate = unlabelled
    result = trainer.train_step(np.arange(8))
    trainer.log.window(result)
    assert unchanged(before, weights(trainer)) and trainer.context.events.logged[-1]["loss"] == 0.0
