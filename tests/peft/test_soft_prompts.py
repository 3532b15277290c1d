"""Soft prompts and prefixes: plain peft's numbers, no padding read, the last real token scored."""

import copy
import warnings

import peft
import pytest
import torch
import transformers

from ftcli.batching.head import head_of
from ftcli.config.registry import lookup
from ftcli.errors import ConfigError
from ftcli.peft._soft_prompt import PROMPTED
from ftcli.peft.prefix_tuning import PREFIXED

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40,
    "max_position_embeddings": 24, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2,
    "cls_token_id": 1,
}  # fmt: skip
GROUPED = {**SIZES, "num_key_value_heads": 1, "head_dim": 8}
"""Fewer heads of keys and values than of queries."""
_OLD = {name: SIZES[name] for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")}
OWN = {
    "albert": {**SIZES, "embedding_size": 12},
    "bloom": {**_OLD, "hidden_size": 16, "n_layer": 2, "n_head": 2},
    "distilbert": {**_OLD, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 24},
    "electra": {**SIZES, "embedding_size": 12},
    "gpt2": {**_OLD, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24},
    "gpt_neo": {**_OLD, "hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global"], 2]]},
    "opt": {**_OLD, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 24,
            "word_embed_proj_dim": 12, "max_position_embeddings": 24},
} | dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), GROUPED)  # fmt: skip
WITHOUT_SDPA = {"bloom", "deberta", "deberta-v2", "gpt_neo", "mpnet"}
DECODERS = ["gpt2", "opt", "llama", "qwen2", "gpt_neox"]
COUNT = 3


def make(kind, head="SequenceClassification", attention="eager"):
    config = transformers.AutoConfig.for_model(kind, **OWN.get(kind, SIZES), num_labels=2)
    torch.manual_seed(0)
    build = getattr(transformers, f"AutoModelFor{head}").from_config
    model = build(config, attn_implementation=attention).eval()
    for parameter in model.parameters():  # large enough that every token counts
        torch.nn.init.normal_(parameter, std=0.3)
    return model


HEADS = [
    head
    for task in ("sequence-classification", "token-classification", "extractive-qa", "multiple-choice")
    for head in lookup("task", task).build.heads
]


def apply(method, model, seed=5, **fields):
    entry = lookup("peft", method)
    config = entry.config_class(num_virtual_tokens=COUNT, **fields)
    return entry.build(config, model, seed=seed, head=head_of(HEADS, model))


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


def test_where_prompts_begin():
    from ftcli.peft.prompt_tuning import PromptTuningInit

    class Tokenizer:
        @staticmethod
        def backend(text, add_special_tokens):
            assert not add_special_tokens
            return {"input_ids": [int(word) for word in text.split()]}

    def begun(kind, text=None, count=5):
        model = make("bert")
        entry = lookup("peft", "prompt-tuning")
        config = entry.config_class(
            num_virtual_tokens=count, prompt_tuning_init=PromptTuningInit(kind), prompt_tuning_init_text=text
        )
        entry.build(config, model, seed=2, tokenizer=Tokenizer())
        return model.bert.prompt_embeddings.embedding.weight, model.get_input_embeddings().weight

    prompt, words = begun("text", "7 9")
    assert torch.equal(prompt, words[[7, 9, 7, 9, 7]])
    assert torch.equal(begun("text", "7 9 11", count=2)[0], words[[7, 9]])
    prompt, words = begun("sample_vocab")
    assert all((words == row).all(1).any() for row in prompt)
    prompt = begun("random", count=200)[0]
    assert prompt.abs().max() <= 0.5 and abs(float(prompt.detach().std()) - 1 / 12**0.5) < 0.02
    with pytest.raises(ConfigError) as caught:
        begun("text", "")
    assert caught.value.problems[0].key == "peft.prompt_tuning_init_text"


@pytest.mark.parametrize(
    ("method", "kind", "word"),
    [("prompt-tuning", "xlnet", "prompt tuning"), ("p-tuning", "xlnet", "P-tuning"),
     ("prefix-tuning", "distilbert", "prefix tuning"), ("prefix-tuning", "deberta-v2", "prefix tuning"),
     ("prefix-tuning", "albert", "prefix tuning"), ("prefix-tuning", "modernbert", "prefix tuning")],
)  # fmt: skip
def test_other_architectures_are_refused_with_those_that_work(method, kind, word):
    fields = (
        {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 24} if kind == "xlnet" else OWN.get(kind, SIZES)
    )
    with torch.device("meta"):
        model = transformers.AutoModelForSequenceClassification.from_config(
            transformers.AutoConfig.for_model(kind, **fields)
        )
    with pytest.raises(ConfigError) as caught:
        apply(method, model)
    problem = caught.value.problems[0]
    assert problem.key == "peft" and word in problem.message and kind in problem.message
    assert "gpt2" in problem.hint and "peft=lora" in problem.hint
    assert not model._forward_pre_hooks


def test_values_that_cannot_be_are_refused_with_the_word_to_type():
    from ftcli.peft.p_tuning import Reparameterization
    from ftcli.peft.prompt_tuning import PromptTuningInit

    def keys(method, **fields):
        found = lookup("peft", method).config_class(**fields).problems()
        assert all(problem.hint for problem in found)
        return [problem.key for problem in found]

    for method in ("prompt-tuning", "p-tuning", "prefix-tuning"):
        assert keys(method) == []
        assert keys(method, num_virtual_tokens=0) == ["peft.num_virtual_tokens"]
    text = "peft.prompt_tuning_init_text"
    assert keys("prompt-tuning", prompt_tuning_init=PromptTuningInit.text) == [text]
    assert keys("prompt-tuning", prompt_tuning_init_text="good?") == [text]
    lstm = {"encoder_reparameterization_type": Reparameterization.lstm}
    assert keys("p-tuning", encoder_hidden_size=0) == ["peft.encoder_hidden_size"]
    assert keys("p-tuning", encoder_dropout=0.1) == ["peft.encoder_dropout"]
    assert keys("p-tuning", encoder_num_layers=3) == ["peft.encoder_num_layers"]
    assert keys("p-tuning", **lstm, encoder_num_layers=3, encoder_dropout=0.1) == []
    assert keys("p-tuning", **lstm, encoder_num_layers=1, encoder_dropout=0.1) == ["peft.encoder_dropout"]
    assert keys("p-tuning", **lstm, encoder_dropout=1.0) == ["peft.encoder_dropout"]
    assert keys("prefix-tuning", encoder_hidden_size=8) == ["peft.encoder_hidden_size"]
    assert keys("prefix-tuning", encoder_hidden_size=8, prefix_projection=True) == []
