"""The top block on the first token alone: the same numbers as the whole block, and only where the head reads no other."""

import numpy as np
import pytest
import tiny_models
import torch

from ftcli.config.compose import load
from ftcli.model.top_block import FirstToken, narrow
from ftcli.run.data_checks.masks import sample
from ftcli.runtime.decide import decide_runtime

NO_DROPOUT = "model.dropout=0"


@pytest.fixture(autouse=True)
def related_architectures(monkeypatch):
    """Architectures that share a tiny config."""
    for name in ("xlm-roberta", "camembert"):
        monkeypatch.setitem(tiny_models.ARCHITECTURES, name, tiny_models.ARCHITECTURES["roberta"])


def top_of(trainer):
    return next((m for m in trainer.context.model.modules() if isinstance(m, FirstToken)), None)


@pytest.fixture
def exact(monkeypatch):
    """The loss is reduced in fp32 on purpose; for gradients in fp64 it must not be."""
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)


def gradients(make, fast: bool, *words: str, **more):
    """Returns the trainer, and the first step's loss and gradients in fp64."""
    trainer, _ = make(*words, f"trainer.fast_paths={str(fast).lower()}", folder=f"fast-{fast}", **more)
    trainer.context.model.double()
    rows = trainer.next_rows()
    seen = {}
    named = dict(trainer.context.model.named_parameters())

    def look(*_):
        seen.update({n: p.grad.to_dense().clone() for n, p in named.items() if p.grad is not None})

    trainer.optimizer.register_step_pre_hook(look)
    trainer.train_step(rows)
    window = trainer.state.window
    return trainer, window.loss_sum / window.targets, seen


def require_equal(make, *words: str, rtol: float = 1e-9, **more):
    """Trains a step with and without; returns the trainer that may compute less."""
    trainer, loss, found = gradients(make, True, *words, **more)
    _, whole_loss, whole = gradients(make, False, *words, **more)
    assert loss == pytest.approx(whole_loss, rel=rtol) and found.keys() == whole.keys() and found
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, rtol=rtol, atol=1e-3 * rtol, msg=name)
    return trainer


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "architecture", ["bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"]
)
def test_the_gradients_are_those_of_the_whole_block(make, exact, architecture, attention):
    trainer = require_equal(make, NO_DROPOUT, f"model.attention={attention}", architecture=architecture)
    assert top_of(trainer) is not None
    assert any("first token alone" in note for note in trainer.context.events.notes)


@pytest.mark.parametrize("task", ["regression", "multi-label", "multiple-choice"])
def test_every_task_of_whole_rows_has_it(make, exact, task):
    assert top_of(require_equal(make, NO_DROPOUT, task=task)) is not None


def test_images_have_it(make, exact):
    # ViT's own attention takes its softmax in fp32.
    words = {"task": "image-classification", "architecture": "vit", "rtol": 1e-5}
    assert top_of(require_equal(make, NO_DROPOUT, **words)) is not None


@pytest.mark.parametrize("task", ["token-classification", "extractive-qa"])
def test_heads_that_read_every_token_have_not(make, exact, task):
    assert top_of(require_equal(make, NO_DROPOUT, task=task)) is None


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "deberta-v2", "albert"])
def test_other_architectures_have_not(make, architecture):
    trainer, _ = make(NO_DROPOUT, architecture=architecture)
    assert top_of(trainer) is None


@pytest.mark.parametrize(
    "method", ["lora", "dora", "ia3", "bottleneck-houlsby", "layernorm-tuning", "adalora"]
)
def test_adapters_inside_the_block_have_it(make, exact, method):
    off = [] if method in ("ia3", "layernorm-tuning") or "bottleneck" in method else ["peft.lora_dropout=0"]
    assert top_of(require_equal(make, NO_DROPOUT, f"peft={method}", *off)) is not None


@pytest.mark.parametrize("method", ["prompt-tuning", "p-tuning", "prefix-tuning"])
def test_prompts_have_it_not(make, exact, method):
    """Their top block stays frozen in eval mode; prefix tuning hands it keys and values besides."""
    trainer = require_equal(make, NO_DROPOUT, f"peft={method}", "peft.num_virtual_tokens=4")
    assert top_of(trainer) is None


@pytest.mark.parametrize(
    "words", [["freezing=head-only"], ["peft=lora", "peft.layers=0"]], ids=["head", "lora"]
)
def test_a_top_block_that_never_trains_has_it_not(make, words):
    trainer, _ = make(*words)
    assert top_of(trainer) is None and not trainer.context.events.notes


def test_a_phase_that_unfreezes_the_block_begins_with_it(make, tmp_path):
    (tmp_path / "schedule.yaml").write_text(
        "0: {params: [head], max_steps: 2}\n1: {params: ['layers[-1:]', final]}\n"
    )
    trainer, _ = make("freezing=schedule", f"freezing.file={tmp_path / 'schedule.yaml'}")
    widths = []
    top_of(trainer).intermediate.register_forward_hook(lambda _, given, __: widths.append(given[0].shape[1]))
    trainer.train_step(trainer.next_rows())
    trainer.state.phase_ended = "max_steps"
    trainer.next_phase()
    trainer.train_step(trainer.next_rows())
    assert widths[0] > 1 and widths[1] == 1


def test_gradient_checkpointing_trains_the_same(make, exact):
    assert top_of(require_equal(make, NO_DROPOUT, "trainer.gradient_checkpointing=true")) is not None


def test_the_loss_curve_is_that_of_the_whole_block(make):
    curves = []
    for fast in ("true", "false"):
        trainer, _ = make(NO_DROPOUT, f"trainer.fast_paths={fast}", folder=f"{fast}-curve")
        trainer.fit()
        curves.append([e["loss"] for e in trainer.context.events.logged if e["event"] == "train"])
    np.testing.assert_allclose(*curves, rtol=2e-5)


def test_evaluation_computes_the_whole_block_with_the_same_bits(make):
    outputs = []
    for fast in ("true", "false"):
        trainer, _ = make(f"trainer.fast_paths={fast}", folder=fast)
        model = trainer.context.model.eval()
        with torch.no_grad():
            batch = {
                "input_ids": torch.tensor([[1, 9, 12, 14, 2]]),
                "attention_mask": torch.ones(1, 5).long(),
            }
            outputs.append(model(**batch, output_hidden_states=True).hidden_states[-1])
    assert torch.equal(*outputs) and outputs[0].abs().min() > 0


def test_the_other_tokens_are_not_computed(make):
    trainer, _ = make(NO_DROPOUT)
    block, states = top_of(trainer).train(), torch.randn(2, 6, 32)
    found = block(states)
    assert found.shape == states.shape and not found[:, 1:].any()
    torch.testing.assert_close(found[:, 0], block.eval()(states)[:, 0])
    shapes = []
    block.train().intermediate.dense.register_forward_hook(lambda _, given, __: shapes.append(given[0].shape))
    block(states)
    assert shapes == [(2, 1, 32)]


def test_attention_drops_shares_in_train_mode(make):
    """With everything but attention's dropout off, a seed fixes the outcome and another seed changes it."""
    trainer, _ = make("model.dropout=0.5")
    block, states = top_of(trainer).train(), torch.randn(2, 6, 32)
    for module in (block.attention.output.dropout, block.output.dropout):
        module.eval()
    outcomes = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outcomes.append(block(states)[:, 0])
    assert torch.equal(*outcomes[:2]) and not torch.equal(*outcomes[1:])


def test_a_head_that_reads_the_second_token_declines_it(make, monkeypatch):
    from transformers.models.bert.modeling_bert import BertPooler

    own = BertPooler.forward
    monkeypatch.setattr(BertPooler, "forward", lambda self, states: own(self, states.roll(-1, dims=1)))
    trainer, _ = make(NO_DROPOUT)
    assert top_of(trainer) is None


def test_a_block_whose_attention_has_a_hook_declines_it(make, monkeypatch):
    from transformers.models.bert.modeling_bert import BertSelfAttention

    own = BertSelfAttention.__init__

    def hooked(self, *args, **kwargs):
        own(self, *args, **kwargs)
        self.register_forward_hook(lambda *_: None)

    monkeypatch.setattr(BertSelfAttention, "__init__", hooked)
    trainer, _ = make(NO_DROPOUT)
    assert top_of(trainer) is None


def test_false_computes_the_whole_block(make):
    trainer, _ = make("trainer.fast_paths=false")
    assert top_of(trainer) is None


def plain(make, *words: str, **more):
    """Returns a model whose top block is whole, with what `narrow` asks for."""
    trainer, built = make(NO_DROPOUT, "trainer.fast_paths=false", *words, **more)
    parts = trainer.context
    batch = parts.forward.collate(parts.train, sample(parts.train))
    return parts.model, built.anatomy.blocks[-1].name, parts.task, batch


def test_a_tagger_that_is_sure_of_one_tag_declines_it(make):
    """Its predictions tell of no token, its logits do."""
    model, block, task, batch = plain(make, task="token-classification")
    model.classifier.weight.data *= 1e-3
    model.classifier.bias.data[0] = 1e3
    own = type(model.get_submodule(block))
    assert not narrow(model, block, task, batch) and type(model.get_submodule(block)) is own


def test_a_decoder_declines_it(make):
    model, *rest = plain(make)
    model.config.is_decoder = True
    assert not narrow(model, *rest)
    model.config.is_decoder = False
    assert narrow(model, *rest)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_under_bf16_it_is_as_near_as_the_whole_block(make, attention):
    model, block, task, batch = plain(make, f"model.attention={attention}")
    with torch.no_grad():
        exact = task.compute_loss(model.eval(), batch, train=False).logits
        with torch.autocast("cpu", torch.bfloat16):
            whole = task.compute_loss(model, batch, train=False).logits
        assert narrow(model, block, task, batch)
        with torch.autocast("cpu", torch.bfloat16):
            first = task.compute_loss(model.train(), batch, train=False).logits
    assert not torch.equal(whole, exact)
    assert float((first - exact).abs().max()) <= 2 * float((whole - exact).abs().max()) + 1e-3


def test_the_share_of_dropped_attention_is_p(make):
    """Equal shares over 8 tokens of value 1: what is left of their sum has mean 1 and variance p / (1 - p) / 8."""
    trainer, _ = make("model.dropout=0.3")
    block, seen = top_of(trainer).train(), []
    own = block.attention.self
    for module, bias in ((own.query, 0.0), (own.value, 1.0)):
        module.weight.data.zero_()
        module.bias.data.fill_(bias)
    block.attention.output.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    torch.manual_seed(4)
    block(torch.randn(4000, 8, 32))
    sums = seen[0].detach().view(4000, 2, 16)[..., 0].flatten()
    assert float(sums.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(sums.var()) == pytest.approx(0.3 / 0.7 / 8, rel=0.05)


def test_a_run_from_before_it_goes_on_without(make):
    config = load(["data=text", "data.path=rows"]).config
    then = {"precision": "fp32", "threads": 1, "attention": "eager", "fast_paths": True}
    assert decide_runtime(config, 24).first_token
    old = decide_runtime(config, 24, then)
    assert old.fast_paths and not old.first_token
    assert decide_runtime(config, 24, then | {"first_token": True}).first_token
