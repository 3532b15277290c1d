"""Soft prompts: where they begin, and what is refused."""

import pytest
import torch
import transformers
from prompted_models import OWN, SIZES, apply, make

from ftcli.config.registry import lookup
from ftcli.errors import ConfigError


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
