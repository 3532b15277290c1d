"""Every recipe on a tiny model of its architecture: in each phase exactly the declared tensors change, bytes compared."""

from __future__ import annotations

import pytest
import tiny_models as models
import tiny_tasks
import torch

from ftcli.config.bundled import bundled
from ftcli.config.compose import load
from ftcli.config.recipes import recipes
from ftcli.config.validate import problems_of
from ftcli.run.session import RunSession
from ftcli.runtime.decide import Runtime

BUNDLED = sorted(p.stem for p in bundled("recipes").glob("*.yaml"))
ARCHITECTURES = {
    "sst2": "gpt2",
    "rte": "deberta-v2",
    "boolq": "deberta-v2",
    "science": "deberta-v2",
    "mnist": "vit",
    "cifar10": "vit",
    "wikitext": "gpt2",
}
OWN = {
    "sst2-adalora": "deberta-v2",
    "sst2-vera": "roberta",
    "sst2-oft": "roberta",
    "sst2-lokr": "roberta",
    "sst2-miss": "roberta",
    "sst2-prompt-tuning": "roberta",
    "sst2-p-tuning": "roberta",
    "sst2-prefix-tuning": "roberta",
    "sst2-bottleneck": "bert",
}
"""Recipes of another architecture than their data set's others."""
UNCHECKPOINTED = {"sst2-prompt-tuning", "sst2-p-tuning", "sst2-prefix-tuning"}
"""Gradient checkpointing does not go with soft prompts and is refused."""
PUBLISHED = ["model.published.lr=1e-4", "model.published.batch_size=256"]
MORE_WORDS = {"mrpc": ["task.metrics=[f1@positive]"], "science-exam": PUBLISHED, "sst2-miss": ["peft.r=8"]}


@pytest.fixture
def trained(tmp_path, monkeypatch, make):
    """Returns a function: recipe, words -> a trainer at step 0 on tiny rows."""
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.trainer.signals import StopFlag

    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def begin(recipe: str, *words: str):
        architecture = OWN.get(recipe) or ARCHITECTURES.get(recipe.partition("-")[0], "bert")
        model = models.write_model(tmp_path / "model", architecture)
        task = load([f"recipe={recipe}"]).config.choices["task"]
        rows = tiny_tasks.write_rows(tmp_path / "rows", task, train=40, validation=8)
        short = (
            ["peft.num_virtual_tokens=4"] if recipe in UNCHECKPOINTED else []
        )  # the tiny model has 40 positions
        config = load([f"recipe={recipe}", "model=local", f"model.path={model}", "model.weights=random", *rows,
                       "trainer.batch_size=8", "trainer.micro_batch_size=4", "trainer.precision=fp32", *MORE_WORDS.get(recipe, []), *short, *words]).config  # fmt: skip
        session = RunSession(config)
        session.runtime = Runtime("cpu", "fp32", "eager", 1, fast_paths=True, first_token=True)
        quiet, _ = make()
        events = quiet.context.events
        store = CheckpointStore(tmp_path / "saved", keep=1)
        return session.trainer(store=store, events=events, reporter=events, stop=StopFlag())

    return begin


def test_every_bundled_recipe_is_tried():
    assert set(BUNDLED) <= set(recipes())


@pytest.mark.parametrize(
    ("recipe", "checkpointing"),
    [
        *((recipe, "false") for recipe in BUNDLED),
        *((recipe, "true") for recipe in sorted({*BUNDLED[::3], *UNCHECKPOINTED})),
    ],
)
def test_exactly_the_declared_tensors_change(trained, recipe, checkpointing):
    if checkpointing == "true" and recipe in UNCHECKPOINTED:
        found = problems_of(load([f"recipe={recipe}", "trainer.gradient_checkpointing=true"]).config)
        assert [p.key for p in found] == ["trainer.gradient_checkpointing"]
        return
    trainer = trained(recipe, f"trainer.gradient_checkpointing={checkpointing}")
    model = trainer.context.model
    for phase in trainer.context.plan.phases:
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        for _ in range(3):
            trainer.train_step(trainer.next_rows())
        changed = {
            n
            for n, p in model.named_parameters()
            if not torch.equal(p.view(torch.uint8), before[n].view(torch.uint8))
        }
        assert changed == set(phase.trainable)
        owned = {name for group in trainer.optimizer.param_groups for name in group["param_names"]}
        assert owned == changed
        assert {n for n, p in model.named_parameters() if p.requires_grad} == changed
        assert all(p.grad is None for n, p in model.named_parameters() if n not in changed)
        if phase is not trainer.context.plan.phases[-1]:
            trainer.state.phase_ended = "three steps"
            trainer.next_phase()


@pytest.mark.parametrize("checkpointing", ["false", "true"])
def test_gradient_checkpointing_does_not_drag_frozen_layers_into_backward(trained, checkpointing):
    """Hugging Face makes frozen embeddings require grad there; here their output needs none."""
    trainer = trained("sst2-head-only", f"trainer.gradient_checkpointing={checkpointing}")
    base = trainer.context.model.transformer
    seen = []
    for module in (base.wte, *base.h, base.ln_f):
        module.register_forward_hook(
            lambda module, args, output: seen.append(
                (output[0] if isinstance(output, tuple) else output).requires_grad
            )
        )
    trainer.train_step(trainer.next_rows())
    assert seen and not any(seen)
