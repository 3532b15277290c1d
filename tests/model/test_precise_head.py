"""Head, loss and figures in fp32 under bf16: logits keep their digits, the base computes in bf16 all the same."""

from __future__ import annotations

import pytest
import tiny_models
import tiny_tasks
import torch
from torch import nn

from ftcli.model.precise_head import run_head_in_fp32
from ftcli.plan.units import base_prefix

TASKS = (
    "multi-label",
    "regression",
    "multiple-choice",
    "token-classification",
    "extractive-qa",
    "image-classification",
)
DIGITS = 0.9
"""Share of fp32 logits that bf16 could not hold; by chance one of 65,536 can be held."""


def step_of(trainer):
    """Returns (logits, dtype of each Linear's output, its difference from an fp32 product) of a step's forward and backward."""
    model, forward = trainer.context.model, trainer.context.forward
    prefix = base_prefix(model) + "."
    dtypes, gaps = {}, {}

    def look(name):
        @torch.no_grad()
        def hook(module, inputs, output):
            dtypes[name] = output.dtype
            if isinstance(module, nn.Linear):
                weight, bias = module.weight.float(), None if module.bias is None else module.bias.float()
                with torch.autocast("cpu", enabled=False):
                    right = nn.functional.linear(inputs[0].float(), weight, bias)
                gaps[name] = float((output.float() - right).abs().max() / right.abs().max().clamp(min=1e-3))

        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            module.register_forward_hook(look(name))
    batch = forward.collate(trainer.context.train, trainer.next_rows())
    output = forward.loss(model, batch, train=True)
    output.loss_sum.backward()
    inside = [name for name in dtypes if name.startswith(prefix) and "pooler" not in name]
    return output, dtypes, gaps, inside


def require_precise(trainer):
    output, dtypes, gaps, inside = step_of(trainer)
    assert inside and {dtypes[name] for name in inside} == {torch.bfloat16}
    head = dtypes.keys() - set(inside)
    assert head and all(dtypes[name] == torch.float32 and gaps[name] < 1e-5 for name in head)
    logits = output.logits[output.logits.isfinite()]
    assert output.loss_sum.dtype == torch.float32
    assert float((logits != logits.bfloat16().float()).float().mean()) > DIGITS


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_every_architecture(make, architecture):
    require_precise(make("trainer.precision=bf16", architecture=architecture)[0])


@pytest.mark.parametrize("task", TASKS)
def test_every_task(make, task):
    architecture = tiny_tasks.MODELS.get(task, "bert")
    require_precise(make("trainer.precision=bf16", task=task, architecture=architecture)[0])


PEFT = {
    "lora": ("peft.target_modules=[all-linear]",),  # BERT's pooler too
    "prompt-tuning": ("peft.num_virtual_tokens=4",),
    "prefix-tuning": ("peft.num_virtual_tokens=4",),
    "bottleneck-pfeiffer": (),
    "ia3": (),
}


@pytest.mark.parametrize("peft", PEFT)
def test_with_adapters(make, peft):
    require_precise(make("trainer.precision=bf16", f"peft={peft}", *PEFT[peft])[0])


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "deberta-v2"])
def test_weights_held_in_bf16(make, architecture):
    """The head's are widened for a forward; they and their gradients keep the dtype that was asked for."""
    trainer, _ = make("trainer.precision=fp32", architecture=architecture)
    assert run_head_in_fp32(trainer.context.model.to(torch.bfloat16), "fp32")
    require_precise(trainer)
    head = {
        n: p for n, p in trainer.context.model.named_parameters() if n.startswith(("classifier", "score"))
    }
    assert head and all(p.dtype == p.grad.dtype == torch.bfloat16 for p in head.values())


@pytest.mark.parametrize(
    "words", [("freezing=head-only",), ("freezing=bottom-layers", "freezing.num_layers=1")]
)
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2"])
def test_from_cached_activations(make, architecture, words):
    """Logits from cached activations are those of the whole model, in fp32."""
    trainer, _ = make("trainer.precision=bf16", *words, "model.dropout=0", architecture=architecture)
    trainer._enter_activation_cache()
    context, rows = trainer.context, trainer.next_rows()
    batch = context.forward.collate(context.train, rows)
    context.model.eval()
    with context.forward.reading(context.train, rows, batch):
        kept = context.forward.loss(context.model, batch, train=True)
    whole = context.forward.loss(context.model, batch, train=True)
    assert context.activation_cache.depth > 0
    for logits in (kept.logits, whole.logits):
        assert float((logits != logits.bfloat16().float()).float().mean()) > DIGITS
    torch.testing.assert_close(kept.logits, whole.logits, rtol=2e-2, atol=2e-2)


def test_in_fp32_nothing_is_changed(make):
    model = make("trainer.precision=fp32")[0].context.model
    assert type(model).__module__ == "transformers.models.bert.modeling_bert" and "precise_base" not in vars(
        model
    )


def test_without_autocast_no_bit_changes(make):
    """The data contract and the proof of an export run the same model in fp32."""
    trainer, _ = make("trainer.precision=bf16")
    model, forward = trainer.context.model.eval(), trainer.context.forward
    batch = forward.collate(trainer.context.train, trainer.next_rows())
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        plain = type(model).__mro__[2](model.config).eval()
        plain.load_state_dict(model.state_dict())
        assert torch.equal(model(**inputs).logits, plain(**inputs).logits)


def test_a_model_whose_base_is_unknown_is_left_alone():
    assert not run_head_in_fp32(nn.Linear(2, 2), "bf16")


def test_it_is_done_once(make):
    model = make("trainer.precision=bf16")[0].context.model
    before = type(model)
    assert run_head_in_fp32(model, "bf16") and type(model) is before
    assert before.__name__ == before.__mro__[2].__name__ == "BertForSequenceClassification"
