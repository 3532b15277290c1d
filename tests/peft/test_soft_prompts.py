"""Soft prompts and prefixes: plain peft's numbers, no padding read, the last real token scored."""

import copy
import warnings

import peft
import pytest
import torch
from prompted_models import COUNT, apply, make

from ftcli.peft._soft_prompt import PROMPTED
from ftcli.peft.prefix_tuning import PREFIXED

WITHOUT_SDPA = {"bloom", "deberta", "deberta-v2", "gpt_neo", "mpnet"}
DECODERS = ["gpt2", "opt", "llama", "qwen2", "gpt_neox"]


def batch(kind, padding=0):
    torch.manual_seed(1)
    ids = torch.randint(5, 40, (2, 6))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if kind in ("bert", "electra"):
        inputs["token_type_ids"] = torch.tensor([[0, 0, 0, 1, 1, 1]] * 2)
    return {name: torch.cat([t, t.new_zeros(2, padding)], 1) for name, t in inputs.items()}


def outputs(model, inputs, length=None):
    """Returns all logits of the row's own tokens, or of the row."""
    with torch.no_grad():
        found = model(**inputs)
    named = [found[name] for name in found if name.endswith("logits")]
    if length is None:
        return torch.stack(named)
    return torch.stack([t[:, -length:] for t in named])


def plain(result, untouched):
    """Returns the model that peft makes of the untouched base, with the tensors under their names in peft."""
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5 by a name that was changed
        warnings.simplefilter("ignore", FutureWarning)
        model = peft.get_peft_model(untouched, copy.deepcopy(result.peft_config)).eval()
    own, theirs = dict(result.model.named_parameters()), dict(model.named_parameters())
    assert set(result.peft_names) == result.adapter_names
    assert {name for name in theirs if name.startswith("prompt_encoder")} == set(result.peft_names.values())
    for name, in_peft in result.peft_names.items():
        theirs[in_peft].data.copy_(own[name].data)
    return model


METHODS = [
    *[("prompt-tuning", kind, {}) for kind in PROMPTED],
    *[("p-tuning", kind, {}) for kind in ("bert", "albert", "gpt2", "opt", "llama")],
    ("p-tuning", "bert", {"encoder_reparameterization_type": "lstm", "encoder_hidden_size": 7}),
    *[("prefix-tuning", kind, {}) for kind in PREFIXED],
    *[
        ("prefix-tuning", kind, {"prefix_projection": True, "encoder_hidden_size": 7})
        for kind in ("bert", "gpt2", "llama")
    ],
]


def typed(fields):
    from ftcli.peft.p_tuning import Reparameterization

    kind = fields.get("encoder_reparameterization_type")
    return fields if kind is None else {**fields, "encoder_reparameterization_type": Reparameterization(kind)}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("method", "kind", "fields"), METHODS)
def test_as_plain_peft_and_padding_changes_nothing(method, kind, fields, attention):
    if attention == "sdpa" and kind in WITHOUT_SDPA:
        pytest.skip("the architecture has no sdpa")
    model = make(kind, attention=attention)
    untouched = copy.deepcopy(model)
    bare = outputs(untouched, batch(kind))
    result = apply(method, model, **typed(fields))
    prompted = outputs(model, batch(kind))
    assert (prompted - bare).abs().max() > 1e-3
    theirs = outputs(plain(result, untouched), batch(kind))
    # peft computes a projection once a row while it trains, in another shape; a reload reads the saved prefix.
    assert (prompted - theirs).abs().max() <= (1e-6 if "prefix_projection" in fields else 0)
    assert (prompted - outputs(model, batch(kind, padding=4))).abs().max() <= 1e-5


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize(
    ("method", "fields"),
    [("prompt-tuning", {}), ("p-tuning", {}), ("prefix-tuning", {}), ("prefix-tuning", {"prefix_projection": True})],
)  # fmt: skip
def test_what_plain_peft_saves_and_loads_answers_the_same(tmp_path, method, fields, kind):
    model = make(kind)
    untouched = copy.deepcopy(model)
    result = apply(method, model, **fields)
    plain(result, copy.deepcopy(untouched)).save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        loaded = peft.PeftModel.from_pretrained(untouched, tmp_path).eval()
    assert torch.equal(outputs(model, batch(kind)), outputs(loaded, batch(kind)))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("method", ["prompt-tuning", "p-tuning", "prefix-tuning"])
def test_half_precision_keeps_the_prompt_in_float32(method, kind, attention):
    model, half = make(kind, attention=attention), make(kind, attention=attention).to(torch.bfloat16)
    apply(method, model)
    names = apply(method, half).adapter_names
    expected = outputs(model, batch(kind))
    with torch.autocast("cpu", torch.bfloat16):
        assert (outputs(model, batch(kind)) - expected).abs().max() < 0.03
    found = half(**batch(kind)).logits.float()
    assert (found - expected[0]).detach().abs().max() < 0.05
    found.sum().backward()
    for name in names:
        parameter = half.get_parameter(name)
        assert parameter.dtype == torch.float32 and parameter.grad.abs().max() > 0


def test_a_forward_that_failed_leaves_no_prompt_behind():
    model = make("bert")
    apply("prompt-tuning", model)
    before = outputs(model, batch("bert"))
    ids = batch("bert")["input_ids"]
    bare = model.bert(input_ids=ids).last_hidden_state
    with pytest.raises(IndexError):
        model(input_ids=ids + 10**6)
    assert torch.equal(model.bert(input_ids=ids).last_hidden_state, bare)
    assert torch.equal(outputs(model, batch("bert")), before)


@pytest.mark.parametrize("head", ["TokenClassification", "QuestionAnswering"])
@pytest.mark.parametrize("method", ["prompt-tuning", "prefix-tuning"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "roberta", "qwen2"])
def test_outputs_a_token_are_those_of_the_rows_own_tokens(method, kind, head):
    model = make(kind, head)
    untouched = copy.deepcopy(model)
    result = apply(method, model)
    inputs, padded = batch(kind), batch(kind, padding=4)
    if head == "QuestionAnswering":  # peft 0.21 takes token types and hands none on, whatever the method
        inputs.pop("token_type_ids", None), padded.pop("token_type_ids", None)
    prompted = outputs(model, inputs, length=6)
    assert outputs(model, inputs)[0].shape[1] == 6
    assert torch.equal(prompted, outputs(plain(result, untouched), inputs, length=6))
    assert (prompted - outputs(model, padded)[:, :, :6]).abs().max() <= 1e-5


@pytest.mark.parametrize("method", ["prompt-tuning", "p-tuning", "prefix-tuning"])
@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_scores_the_last_real_token(method, kind):
    """Head weights times the base's state there; plain peft scores the last column of a prompted batch."""
    model = make(kind)
    apply(method, model)
    seen = []
    hook = model.get_submodule(model.base_model_prefix).register_forward_hook(
        lambda module, args, output: seen.append(output[0])
    )
    found = outputs(model, batch(kind, padding=4))[0]
    hook.remove()
    behind = 0 if method == "prefix-tuning" else COUNT
    expected = seen[0][:, behind + 5] @ model.score.weight.T
    assert (found - expected).abs().max() <= 1e-6
    assert (found - seen[0][:, -1] @ model.score.weight.T).abs().max() > 1e-3


@pytest.mark.parametrize("method", ["prompt-tuning", "p-tuning"])
def test_the_placeholder_is_never_read_and_is_not_pad(method):
    model = make("gpt2")
    apply(method, model)
    before = outputs(model, batch("gpt2"))
    words = model.transformer.wte
    seen = []
    words.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        words.weight[:5] = 1e3
    assert torch.equal(outputs(model, batch("gpt2")), before)
    assert seen[0].shape == (2, COUNT + 6) and (seen[0][:, :COUNT] != model.config.pad_token_id).all()


@pytest.mark.parametrize("method", ["prompt-tuning", "p-tuning", "prefix-tuning"])
def test_seeded_whatever_was_drawn_before_and_a_copy_has_its_own(method):
    def tensors(seed, drawn):
        model = make("bert")
        torch.manual_seed(drawn)
        expected = torch.get_rng_state()
        names = apply(method, model, seed=seed).adapter_names
        assert torch.equal(torch.get_rng_state(), expected)
        return {name: p for name, p in model.named_parameters() if name in names}, model

    (first, model), (again, _), (other, _) = tensors(1, 5), tensors(1, 6), tensors(2, 5)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    twin, before = copy.deepcopy(model), outputs(model, batch("bert"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in first:
                parameter.add_(1.0)
    assert torch.equal(outputs(twin, batch("bert")), before)
    assert not torch.equal(outputs(model, batch("bert")), before)
