"""Each method on each architecture: what is declared trains, is saved and read back; nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_runs import build_run, words_for

METHODS: dict[str, list[str]] = {
    "lora": [],
    "dora": [],
    "rslora": [],
    "pissa": [],
    "lora-plus": [],
    "ia3": [],
    "vera": ["peft.r=16"],
    "oft": ["peft.oft_block_size=8"],
    "boft": [],
    "loha": [],
    "lokr": [],
    "miss": ["peft.r=8"],
    "layernorm-tuning": [],
}
ARCHITECTURES = ["bert", "distilbert", "gpt2", "llama", "vit"]
LINEAR_ONLY = {"oft", "boft", "loha", "lokr", "miss"}
"""Methods without Conv1D: not for GPT-2."""
PAIRS = [(m, a) for m in METHODS for a in ARCHITECTURES if not (a == "gpt2" and m in LINEAR_ONLY)]


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Returns a function: method, architecture, words -> (trainer, blueprint, ground) without weight decay."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def one(method: str, architecture: str, *words: str, saved: str = "saved"):
        return build_run(
            tmp_path,
            [*words_for(tmp_path, architecture), f"peft={method}", "optimizer.weight_decay=0", *METHODS[method], *words],
            saved=saved,
        )  # fmt: skip

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
    trainer, blueprint, _ = begin(method, architecture)
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
    assert {name for name in after if not torch.equal(after[name], before[name])} == declared
    trainer.save()
    saved = trainer.parts.store.find("last").load("model")
    assert declared <= saved.keys() and all(torch.equal(saved[name], after[name]) for name in saved)

    other, *_ = begin(method, architecture, "trainer.gradient_checkpointing=true", saved="other")
    for _ in range(3):
        other.train_step(other.next_rows())
    own = values(other.parts.model)
    for name in declared:
        torch.testing.assert_close(own[name], after[name], rtol=0, atol=1e-6)

    rows = np.arange(6)
    together = logits(trainer, rows)
    alone = torch.cat([logits(trainer, rows[row : row + 1]) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
