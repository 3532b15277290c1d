"""Kept against computed: losses, gradients, predictions, and what runs at all."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny_models
import tiny_tasks
import torch

from ftcli.trainer.activation_cache.cut_point import EMBEDDINGS
from ftcli.trainer.activation_cache.states import canonical_blocks

HEAD = ("freezing=head-only",)
ARCHITECTURES = [
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "deberta-v2",
    "electra",
    "gpt2",
    "llama",
    "qwen2",
]
KEPT = {"bert": "pooled", "gpt2": "last", "llama": "last", "qwen2": "last"}
"""What a classifier reads of the base model; the others read the first place."""


def lowest(number: int) -> tuple[str, ...]:
    return ("freezing=bottom-layers", f"freezing.num_layers={number}")


def figures(trainer) -> list[float]:
    wanted = ("loss", "accuracy", "grad_norm")
    return [e[name] for e in trainer.context.events.logged for name in wanted if name in e]


def both(make, *words, **kwargs):
    """Fits the same run with kept activations and without; returns both trainers."""
    trainers = []
    for mode in ("auto", "off"):
        trainer = make(*words, f"trainer.prefix_cache={mode}", folder=mode, **kwargs)
        trainer.fit()
        trainers.append(trainer)
    kept, computed = trainers
    assert kept.context.activation_cache.depth > 0 and computed.context.activation_cache is None
    return kept, computed


def agree(kept, computed, tolerance=1e-5) -> None:
    first, second = figures(kept), figures(computed)
    assert len(first) == len(second) > 6
    assert all(
        math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-7) for a, b in zip(first, second, strict=True)
    )


PLACES = [(a, words) for a in ARCHITECTURES for words in (HEAD, lowest(1))]


@pytest.mark.parametrize(("architecture", "words"), [*PLACES, ("bert", lowest(2))])
def test_losses_gradients_and_scores_are_those_of_a_whole_forward(make, architecture, words):
    kept, computed = both(make, *words, architecture=architecture, rows=21)
    agree(kept, computed)
    evaluations = [[e for e in t.context.events.logged if e["event"] == "eval"] for t in (kept, computed)]
    for a, b in zip(*evaluations, strict=True):
        assert math.isclose(a["loss"], b["loss"], rel_tol=2e-6)
        assert a["accuracy"] == b["accuracy"]
    if words == HEAD:
        assert kept.context.activation_cache._entries[0, 3][1].shape.stored == KEPT.get(architecture, "first")


def test_every_architecture_that_is_claimed_is_tried():
    """ViT is tried with the tasks."""
    assert set(EMBEDDINGS) == {*ARCHITECTURES, "vit"}


def test_deberta_with_a_convolution_after_block_0(make, monkeypatch):
    convolution = {"conv_kernel_size": 3, "conv_act": "gelu"}
    own = tiny_models.ARCHITECTURES
    monkeypatch.setitem(own, "deberta-v2", own["deberta-v2"] | convolution)
    for freeze in (lowest(1), lowest(2)):
        kept, computed = both(make, *freeze, architecture="deberta-v2", rows=21)
        assert kept.context.activation_cache.frame.after_first is not None
        agree(kept, computed)


OTHERS = [task for task in tiny_tasks.NAMES if task != "sequence-classification"]
BY_HEAD = ["token-classification", "multiple-choice", "image-classification"]


@pytest.mark.parametrize(
    ("task", "words"), [*((t, lowest(1)) for t in OTHERS), *((t, HEAD) for t in BY_HEAD)]
)
def test_every_task(make, task, words):
    architecture = tiny_tasks.MODELS.get(task, "bert")
    agree(*both(make, *words, task=task, architecture=architecture))


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "deberta-v2", "gpt2", "llama"])
def test_gradients_in_double_precision(make, architecture):
    """To 1e-10, with dropout on above the boundary: kept activations draw the same masks.

    Llama's norms compute in fp32 whatever the model's dtype, so there the batch is a block of the fill.
    """
    # Eager attention's softmax is of fp32 too, and DeBERTa has no other.
    sdpa = [] if architecture == "deberta-v2" else ["model.attention=sdpa"]
    trainer = make(*lowest(1), *sdpa, architecture=architecture)
    model, run = trainer.context.model.double(), trainer.context
    run.activation_cache.enter(0)
    assert run.activation_cache.depth == 1
    rows = np.array([3, 17, 4, 40, 8])
    if architecture == "llama":
        rows = canonical_blocks(run.train)[0]
    batch = run.forward.collate(run.train, rows)
    batch.pop("labels")
    found = []
    for context in (run.forward.reading(run.train, rows, batch), torch.enable_grad()):
        torch.manual_seed(5)
        with context:
            loss = model(**batch).logits.square().sum()
        found.append(torch.autograd.grad(loss, trainer.train_step.trained, allow_unused=True))
    # A key's bias moves no softmax: its gradient is nothing but rounding.
    largest = max(float(b.abs().max()) for b in found[1] if b is not None)
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10 * largest)


@pytest.mark.parametrize("architecture", ["bert", "deberta-v2", "gpt2", "llama"])
def test_no_module_below_the_boundary_runs_in_a_step(make, monkeypatch, architecture):
    trainer = make(*lowest(1), architecture=architecture)
    trainer._enter_activation_cache()
    frame = trainer.context.activation_cache.frame
    ran: list[object] = []
    inside = {id(m) for top in frame.below(1) for m in top.modules()}
    for kind in {type(m) for m in trainer.context.model.modules()}:
        own = kind.forward

        def forward(self, *args, _own=own, **kwargs):
            ran.append(self)
            return _own(self, *args, **kwargs)

        monkeypatch.setattr(kind, "forward", forward)
    trainer.train_step(trainer.next_rows())
    assert ran and not [m for m in ran if id(m) in inside]
    assert frame.blocks[1] in ran
    trainer.context.activation_cache.leave()
    trainer.train_step(trainer.next_rows())
    assert frame.blocks[0] in ran


@pytest.mark.parametrize("words", [lowest(1), HEAD])
def test_half_precision_stays_near(make, words):
    kept, computed = both(make, *words, "trainer.precision=bf16")
    agree_on = [(t.context.events.logged[-1]["loss"]) for t in (kept, computed)]
    assert math.isclose(*agree_on, rel_tol=1e-2)
