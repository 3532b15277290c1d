"""What a pattern means, and what the refusal of one that means nothing says."""

import time

import pytest
import torch
import transformers

from ftcli.errors import PlanError
from ftcli.plan import safe_regex
from ftcli.plan.anatomy import read_anatomy
from ftcli.plan.patterns import match_patterns

CONFIG = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 60,
    "max_position_embeddings": 20,
}  # fmt: skip


@pytest.fixture(scope="module")
def anatomy():
    with torch.device("meta"):
        model = transformers.BartForSequenceClassification(transformers.BartConfig(**CONFIG))
    return read_anatomy(model)


def problem(anatomy, pattern):
    hits, problems = match_patterns(anatomy, [pattern], key="freezing.train", action="train")
    assert not hits
    (only,) = problems
    assert only.key == "freezing.train" and repr(pattern)[:100] in only.message
    return only


def test_a_tied_name_finds_the_tensor_under_its_first_name(anatomy):
    (hit,), problems = match_patterns(
        anatomy, [r"model\.decoder\.embed_tokens\..*"], key="freezing.freeze", action="freeze"
    )
    assert hit.names == ("model.shared.weight",) and hit.numel == 60 * 16 and not problems


def test_hits_are_in_the_models_order_and_counted(anatomy):
    (hit,), _ = match_patterns(anatomy, [r".*fc[12]\.bias"], key="freezing.train", action="train")
    stacks = ("encoder", "decoder")
    assert hit.names == tuple(f"model.{s}.layers.0.fc{i}.bias" for s in stacks for i in (1, 2))
    assert hit.numel == 4 * 16


@pytest.mark.parametrize(
    ("typed", "form"),
    [
        ("classification_head", "write classification_head.* (4 tensors)"),
        (r"^model\.encoder", r"write model\.encoder.* ("),
        ("fc1", "write .*fc1.* (4 tensors)"),
        (r"out_proj\.bias$", r"write .*out_proj\.bias (4 tensors)"),
        ("fc1|fc2", "write .*(fc1|fc2).* (8 tensors)"),
    ],
)
def test_a_substring_is_answered_with_the_full_match_form(anatomy, typed, form):
    assert problem(anatomy, typed).hint.startswith(form)


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("clasification_head.out_proj.bias", "classification_head.out_proj.bias"),
        (r".*self_atn\.q_proj.*", "self_attn.q_proj"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_names(anatomy, typed, near):
    assert near in problem(anatomy, typed).hint


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("fc1(", "missing ), unterminated subpattern at position 3"),
        ("*bias", "nothing to repeat at position 0"),
    ],
)
def test_an_invalid_regex_is_named_with_its_position(anatomy, typed, words):
    assert words in problem(anatomy, typed).message


def test_a_repeat_beyond_the_engine_is_no_traceback(anatomy):
    assert "multiply to more than" in problem(anatomy, "a{99999999999999999999}").message


def test_all_patterns_are_judged_at_once(anatomy):
    hits, problems = match_patterns(anatomy, ["fc1", ".*bias", "("], key="freezing.train", action="train")
    assert [hit.pattern for hit in hits] == [".*bias"] and len(problems) == 2


@pytest.mark.parametrize("pattern", [
    r"(.+)+[^e]x", r"(?:[a-z.]|[a-z.]{2})+X", r"([a-z]*)*([a-z.]*)*([a-z0-9.]*)*X", r"(?:(?:[a-z]?){99}){99}.*X",
])  # fmt: skip
def test_a_slow_pattern_is_stopped_within_its_time(pattern, monkeypatch):
    monkeypatch.setattr(safe_regex, "SECONDS", 0.1)
    began = time.perf_counter()
    with pytest.raises(PlanError, match="takes more than"):
        slow = safe_regex.SafePattern(pattern, "freezing.train")
        for number in range(100_000):
            slow.fullmatch(f"encoder.layers.{number}.attention.selfattentionoutputdense" * 3 + ".weight")
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(("pattern", "said"), [
    ("a" * 1001, "at most 1000"), ("(?:(?:(?:a?){99}){99}){99}", "multiply to more than"), ("(" * 500 + ")" * 500, "not a usable"),
    ("(?R)", "not a regular expression"), (r"\L<x>", "not a regular expression"),
])  # fmt: skip
def test_patterns_that_no_engine_should_get_are_refused(anatomy, pattern, said):
    assert said in problem(anatomy, pattern).message
