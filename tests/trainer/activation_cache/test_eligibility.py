"""What forbids to keep activations is found, said in one line, and the run goes on without."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from torch import nn

from ftcli.trainer.activation_cache.cut_point import EMBEDDINGS
from ftcli.trainer.activation_cache.eligibility import obstacle

LOWEST = ("freezing=bottom-layers", "freezing.num_layers=1")


def reason(trainer) -> str:
    """Returns what the run says of why it keeps nothing."""
    trainer._enter_activation_cache()
    assert trainer.context.activation_cache.depth == 0
    [line] = trainer.context.events.notes
    assert line.startswith("frozen prefix: phase 0 computes its activations in each step: ")
    return line.partition("step: ")[2]


def test_an_unknown_architecture_is_said_and_trains(make):
    trainer = make(*LOWEST, architecture="opt", rows=16)
    trainer.fit()
    assert trainer.state.step == 4
    assert "OPTForSequenceClassification is not one of" in trainer.context.events.notes[0]


@pytest.mark.parametrize("architecture", sorted(set(tiny_models.ARCHITECTURES) - set(EMBEDDINGS)))
def test_every_other_architecture_declines_in_one_line(make, architecture):
    trainer = make("freezing=head-only", architecture=architecture, rows=16)
    assert "is not one of the architectures it knows" in reason(trainer)


def test_nothing_is_kept_where_the_lowest_block_trains(make):
    """Full training, LoRA on every block, biases, LayerNorms, the embeddings alone frozen."""
    for words in (
        (),
        ("peft=lora",),
        ("freezing=bias-only",),
        ("freezing=embeddings",),
        ("freezing=patterns", 'freezing.train=[".*LayerNorm.*"]'),
    ):
        assert make(*words).context.activation_cache is None, words


def test_lora_in_the_upper_block_alone_is_read_from_the_boundary(make):
    trainer = make("peft=lora", 'peft.target_modules=[".*layer.1.*query"]')
    assert trainer.context.activation_cache.prefixes[0].depth == 1
    trainer._enter_activation_cache()
    assert trainer.context.activation_cache.depth == 1


def test_a_tensor_that_is_tied_across_the_boundary(make):
    """A head on the memory of the embeddings, as a language model's is."""
    trainer = make("freezing=head-only", architecture="gpt2")
    model = trainer.context.model
    model.score.weight.data = model.transformer.wte.weight.data[:2]
    assert "shares its memory" in reason(trainer)


def test_a_tied_head_counts_where_its_first_name_stands():
    from transformers import GPT2Config, GPT2LMHeadModel

    from ftcli.plan.anatomy import read_anatomy
    from ftcli.trainer.activation_cache.schedule import frozen_depth

    anatomy = read_anatomy(GPT2LMHeadModel(GPT2Config(vocab_size=20, n_embd=8, n_layer=2, n_head=2)))
    assert frozen_depth(anatomy, {"transformer.wte.weight"}) == 0
    assert frozen_depth(anatomy, {"transformer.ln_f.weight"}) == 2


def test_batch_norm_a_hook_and_dropout_below_the_boundary(make):
    trainer = make(*LOWEST)
    block = trainer.context.activation_cache.frame.blocks[0]
    block.extra = nn.BatchNorm1d(4).eval()
    assert "BatchNorm1d below the boundary holds running statistics" in reason(trainer)
    del block.extra
    handle = block.register_forward_hook(lambda *args: None)
    trainer.context.events.notes.clear()
    assert "has a hook" in reason(trainer)
    handle.remove()
    block.attention.train()
    trainer.context.events.notes.clear()
    assert "runs in train mode" in reason(trainer)
    block.attention.eval()
    trainer._enter_activation_cache()
    assert trainer.context.activation_cache.depth == 1


def test_left_padding_and_changing_rotary_embeddings(make):
    trainer = make(*LOWEST, architecture="llama")
    prefix = trainer.context.activation_cache
    assert "left" in obstacle(prefix.model, prefix.frame, 1, trainer.train_step.trained, "left")
    prefix.model.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 10000.0}
    assert "rotary" in obstacle(prefix.model, prefix.frame, 1, trainer.train_step.trained, "right")


def test_a_soft_prompt_is_found_by_its_gradient(make, monkeypatch):
    """Its tensor stands in the head by name, yet it feeds the lowest block."""
    trainer = make("freezing=head-only", architecture="bert")
    model = trainer.context.model
    prompt = model.classifier.weight
    own = type(model.bert.embeddings).forward

    def forward(self, *args, **kwargs):
        return own(self, *args, **kwargs) + prompt[0]

    monkeypatch.setattr(type(model.bert.embeddings), "forward", forward)
    assert "a trial from kept ones came out otherwise" in reason(trainer)


def test_a_head_that_reads_every_place_gets_every_place(make, monkeypatch):
    trainer = make("freezing=head-only", architecture="distilbert")
    head = trainer.context.model.pre_classifier
    monkeypatch.setattr(
        type(trainer.context.model),
        "forward",
        lambda self, input_ids, attention_mask, **_: _mean(self, input_ids, attention_mask),
    )

    def _mean(self, input_ids, attention_mask):
        from types import SimpleNamespace

        states = self.distilbert(input_ids=input_ids, attention_mask=attention_mask)[0]
        pooled = (states * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True)
        return SimpleNamespace(logits=self.classifier(torch.relu(head(pooled))))

    trainer._enter_activation_cache()
    assert trainer.context.activation_cache._entries[0, 3][1].shape.stored == "all"


@pytest.mark.parametrize(
    "words", [("trainer.prefix_cache=off",), ("trainer.epochs=1",), ("trainer.max_steps=11",)]
)
def test_off_and_too_short_to_pay(make, words):
    """45 rows in batches of 8 are 6 steps an epoch: 11 steps are fewer than two epochs."""
    assert make(*LOWEST, *words).context.activation_cache is None


def test_more_than_the_limit_is_computed(make):
    trainer = make(*LOWEST, "trainer.prefix_cache_gib=0.00001")
    assert "trainer.prefix_cache_gib=1e-05" in reason(trainer)
    trainer.fit()
    assert trainer.state.step == 12


def test_a_folder_that_cannot_be_written_is_said(make, tmp_path):
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "prefix").write_text("")
    trainer = make(*LOWEST, "trainer.prefix_cache=disk")
    trainer.fit()
    assert "cannot be written" in trainer.context.events.notes[1] and trainer.state.step == 12


def test_the_limit_is_checked():
    from ftcli.config.compose import load
    from ftcli.errors import ConfigError

    with pytest.raises(ConfigError) as refused:
        load(["model=minilm", "trainer.prefix_cache_gib=0"])
    assert [problem.key for problem in refused.value.problems] == ["trainer.prefix_cache_gib"]
