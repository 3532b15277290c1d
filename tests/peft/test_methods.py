"""Each method on each architecture: what is declared trains, is saved and read back; nothing else changes."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from tiny_runs import build_run, config_of, words_for

METHODS: dict[str, dict] = {
    "lora": {},
    "dora": {},
    "rslora": {},
    "pissa": {},
    "lora-plus": {},
    "adalora": {},
    "ia3": {},
    "vera": {"r": 16},
    "oft": {"oft_block_size": 8},
    "boft": {},
    "loha": {},
    "lokr": {},
    "miss": {"r": 8},
    "layernorm-tuning": {},
}
ARCHITECTURES = ["bert", "distilbert", "gpt2", "llama", "vit"]
LINEAR_ONLY = {"oft", "boft", "loha", "lokr", "miss"}
"""Methods without Conv1D: not for GPT-2."""
VARIANTS = ("rslora", "pissa", "lora-plus")
"""LoRA with other numbers: two architectures are enough."""
PAIRS = [
    (method, architecture)
    for method in METHODS
    for architecture in (("bert", "gpt2") if method in VARIANTS else ARCHITECTURES)
    if not (architecture == "gpt2" and method in LINEAR_ONLY)
]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Returns a function: architecture -> words of a run without weight decay."""
    folder = tmp_path_factory.mktemp("runs")
    return functools.cache(
        lambda architecture: [*words_for(folder, architecture), "optimizer.weight_decay=0"]
    )


@pytest.fixture
def begin(tmp_path, monkeypatch, words):
    """Returns a function: method, architecture -> (trainer, blueprint)."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def one(method: str, architecture: str, **trainer):
        config = config_of(words(architecture), method, trainer=trainer, **METHODS[method])
        return build_run(config, tmp_path / "saved")

    return one


def values(model) -> dict[str, torch.Tensor]:
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def logits(trainer, rows) -> torch.Tensor:
    parts = trainer.parts
    batch = parts.task.collate(parts.train, rows, pad_id=parts.pad_id, padding_side=parts.padding_side)
    with torch.inference_mode():
        return parts.task.compute_loss(parts.model.eval(), batch, train=False).logits


@pytest.mark.parametrize(("method", "architecture"), PAIRS)
def test_what_is_declared_trains_and_nothing_else(begin, method, architecture):
    trainer, blueprint = begin(method, architecture)
    model = trainer.parts.model
    declared = set(trainer.parts.plan.phases[0].trainable)
    assert declared == blueprint.peft.adapter_names | set(blueprint.anatomy.head.tensors)
    graded: set[str] = set()
    hooks = [
        p.register_post_accumulate_grad_hook(lambda _, name=name: graded.add(name))
        for name, p in model.named_parameters()
        if p.requires_grad
    ]
    before = values(model)
    trainer.train_step(trainer.next_rows())
    assert graded == declared
    for hook in hooks:
        hook.remove()
    for _ in range(2):
        trainer.train_step(trainer.next_rows())
    after = values(model)
    own_state = {
        name for name, _ in model.named_buffers() if "sensitivity_" in name or "uncertainty_" in name
    }
    assert {name for name in after if not torch.equal(after[name], before[name])} == declared | own_state
    trainer.save()
    saved = trainer.parts.store.find("last").load("model")
    assert declared | own_state <= saved.keys() and all(
        torch.equal(saved[name], after[name]) for name in saved
    )

    other, _ = begin(method, architecture, gradient_checkpointing=True)
    for _ in range(3):
        other.train_step(other.next_rows())
    own = values(other.parts.model)
    for name in declared:
        torch.testing.assert_close(own[name], after[name], rtol=0, atol=1e-6)

    rows = np.arange(6)
    together = logits(trainer, rows)
    alone = torch.cat([logits(trainer, rows[row : row + 1]) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
