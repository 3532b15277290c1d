"""Windows, offsets and the best span: by hand, by brute force and on odd characters."""

from itertools import product

import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qa_rows import make, row_of, task, tokenizer_of

from ftcli.batching.output import StepOutput
from ftcli.batching.token_table import TokenTable
from ftcli.errors import ConfigError, DataError
from ftcli.task.qa_spans import choose, window_spans


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A token a word; <s> question </s> context </s>."""
    return lambda length: tokenizer_of(tmp_path_factory.mktemp("words"), "bert", length)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Byte-level pieces, the space before a word counted in, nothing between question and context."""
    return tokenizer_of(tmp_path_factory.mktemp("pieces"), "qwen2", 40)


def tokens(tokenizer, table, window):
    return tokenizer.backend.convert_ids_to_tokens(
        table.ids[table.offsets[window] : table.offsets[window + 1]]
    )


def marked(table, window, context):
    """Returns the text between first and last token of a window, None where they are the first token."""
    first, last = table.extras["positions"][window]
    if (first, last) == (0, 0):
        return None
    start = table.offsets[window]
    return context[table.extras["starts"][start + first] : table.extras["ends"][start + last]]


def perfect(built, table, rows, **options):
    """Returns the batch, and an output that is sure of each window's label."""
    batch = built.collate(table, rows, **({"pad_id": 0, "padding_side": "right"} | options))
    size = tuple(batch["input_ids"].shape)
    logits = torch.nn.functional.one_hot(batch["labels"], size[1]).transpose(1, 2) * 9.0
    # Sure where there is an answer, in doubt elsewhere.
    logits[batch["labels"].sum(1) == 2 * batch["first"]] /= 3
    logits = logits.masked_fill(batch["attention_mask"][..., None] == 0, float("-inf"))
    return batch, StepOutput(torch.tensor(0.0), size[0], logits)


LONG = "the film was good the book was bad the meal was cold and the view"


def test_every_window_has_the_whole_question_and_its_part_of_the_context(words):
    tokenizer = words(12)
    table = task(doc_stride=3).encode(row_of(LONG, "book was"), tokenizer)
    held = LONG.split()
    begins = [0, 3, 6, 9]  # 12 - 5 = 7 of 15 words, 3 on each time
    assert table.groups.tolist() == [0, 4] and table.offsets.tolist() == [0, 12, 24, 36, 47]
    for window, begin in enumerate(begins):
        expected = ["<s>", "was", "the", "</s>", *held[begin : begin + 7], "</s>"]
        assert tokens(tokenizer, table, window) == expected
        starts = table.extras["starts"][table.offsets[window] + 4 :][:7]
        assert starts.tolist()[: len(held) - begin] == [
            len(" ".join(held[:n])) + 1 if n else 0 for n in range(begin, min(begin + 7, 15))
        ]
    # `book was` are words 5 and 6: in the windows of words 0-6, 3-9, and no other
    assert table.extras["positions"].tolist() == [[9, 10], [6, 7], [0, 0], [0, 0]]
    assert table.token_types is not None and table.token_types[:12].tolist() == [0] * 4 + [1] * 8
    assert task().num_targets(table, np.array([0])) == 4


def test_windows_overlap_by_half_however_long_the_question(words):
    table = task(doc_stride=128).encode(row_of(LONG, "good"), words(12))
    assert table.groups[-1] == 4  # 7 words, 3 on each time
    short = task(doc_stride=128).encode(row_of("the film was good", "good"), words(12))
    assert short.groups.tolist() == [0, 1] and short.extras["positions"].tolist() == [[7, 7]]


def test_an_answer_that_no_window_holds_and_rows_without_one(words):
    built = task(doc_stride=2, null_threshold=0.0)
    table = built.encode(row_of(LONG, "good the book was bad the meal was"), words(12))
    assert not table.extras["positions"].any()
    rows = make(question=["was it"] * 3, context=["the film", "the book", ""],
                answers=[[], {"text": ["book"], "answer_start": [4]}, {}])  # fmt: skip
    table = built.encode(rows, words(12))
    assert table.labels.tolist() == [[-1, -1], [4, 8], [-1, -1]]
    batch, output = perfect(built, table, np.arange(3))
    assert built.scored(output, batch)["answers"] == (["", "book", ""], [[], ["book"], []])
    assert not built.constant(table, np.arange(3)) and built.constant(table, np.array([0, 2]))


@pytest.mark.parametrize("side", ["right", "left"])
def test_every_word_is_found_again_at_every_edge(words, side):
    held = LONG.split()
    ends = np.cumsum([len(word) + 1 for word in held]) - 1
    spans = [(int(ends[a] - len(held[a])), int(ends[b])) for a in range(15) for b in range(a, min(a + 4, 15))]
    answers = [[{"text": LONG[a:b], "answer_start": a}] for a, b in spans]
    rows = make(question=["was it"] * len(spans), context=[LONG] * len(spans), answers=answers)
    built = task(doc_stride=3)
    table = built.encode(rows, words(12))
    batch, output = perfect(built, table, np.arange(len(spans)), padding_side=side, pad_to_multiple=16)
    assert [tuple(r[:2].astype(int)) for r in built.records(output, batch)] == spans
    assert built.num_correct(output, batch) == output.num_targets
    assert float(built.loss(output.logits, batch, train=True)[0]) < output.num_targets
    assert len(table.extras["contexts"]) == len(LONG)  # held once


PARTS = ["a", "film", "Zoë", "naïve", "日本", "😀", "👨‍👩‍👧", "e\u0301te\u0301", "x.y", "—", "São"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from([" ", "  ", "\n", "\t "])), min_size=1, max_size=25), st.data())  # fmt: skip
def test_spans_of_odd_characters_come_back_exactly(pieces, drawn, data):
    context = "".join(word + space for word, space in drawn)
    starts = np.cumsum([0, *(len(word + space) for word, space in drawn)])
    a = data.draw(st.integers(0, len(drawn) - 1))
    b = data.draw(st.integers(a, min(a + 2, len(drawn) - 1)))
    text = context[starts[a] : starts[b] + len(drawn[b][0])]
    rows = make(question=["was the film good"], context=[context],
                answers=[{"text": [text], "answer_start": [int(starts[a])]}])  # fmt: skip
    built = task(doc_stride=4, max_answer_tokens=99)
    table = built.encode(rows, pieces)
    found = [marked(table, window, context) for window in range(table.groups[-1])]
    assert set(found) <= {None, text}
    if text in found:
        batch, output = perfect(built, table, np.array([0]))
        assert built.scored(output, batch)["answers"] == ([text], [[text]])


def test_the_best_span_is_that_of_brute_force():
    random = torch.Generator().manual_seed(1)
    for width, reach in ((1, 3), (9, 4), (30, 30), (12, 99)):
        logits = torch.randn(5, width, 2, generator=random)
        usable = torch.rand(5, width, generator=random) > 0.3
        scores, first, last = window_spans(logits, usable, reach)
        for window in range(5):
            allowed = [(a, b) for a, b in product(range(width), repeat=2)
                       if a <= b < a + reach and usable[window, a] and usable[window, b]]  # fmt: skip
            best = sorted((float(logits[window, a, 0] + logits[window, b, 1]) for a, b in allowed), reverse=True)[:20]  # fmt: skip
            real = np.isfinite(scores[window])
            assert scores[window][real].tolist() == pytest.approx(best)
            assert set(zip(first[window][real], last[window][real], strict=True)) <= set(allowed)


def test_scores_and_probabilities_by_hand():
    scores, starts, ends = np.array([2.0, 1.0, 2.5, 2.0]), np.array([3, 7, 0, 3]), np.array([5, 9, 4, 5])
    start, end, score, probability = choose(scores, starts, ends, 1.5, None)
    assert (start, end, score) == (0, 4, 2.5)  # the span from 3 to 5 was seen by two windows, and counts once
    assert probability == pytest.approx(np.exp(2.5) / np.exp([2.5, 2.0, 1.0]).sum())
    assert choose(scores, starts, ends, 2.6, None)[:3].tolist() == [0, 4, 2.5]
    assert choose(scores, starts, ends, 2.6, 0.5)[:3].tolist() == [0, 4, 2.5]
    start, end, score, probability = choose(scores, starts, ends, 2.6, 0.0)
    assert (start, end, score) == (0, 0, 2.6)
    assert probability == pytest.approx(np.exp(2.6) / np.exp([2.5, 2.0, 1.0, 2.6]).sum())
    nothing = choose(np.array([-np.inf]), np.array([0]), np.array([0]), 1.5, None)
    assert nothing.tolist() == [0, 0, 1.5, 1.0]


def test_settings_that_mean_nothing():
    problems = task(doc_stride=0, max_answer_tokens=0, label_smoothing=0.1, num_labels=3).config.problems()
    assert [p.key.removeprefix("task.") for p in problems] == ["doc_stride", "max_answer_tokens", "label_smoothing", "num_labels"]  # fmt: skip
    with pytest.raises(ConfigError, match="text_pair"):
        task({"text": "question"}).fields()


def test_a_question_too_long_for_the_window_is_named_with_its_line(words):
    rows = make(question=["was it", "was the film " * 3], context=["good", LONG], answers=[[], []])
    with pytest.raises(DataError) as caught:
        task().encode(rows, words(14))
    (problem,) = caught.value.problems
    assert problem.key == "train.jsonl:2" and "the question takes 12 of 14 tokens" in problem.message
    assert len(task().encode(rows, words(40))) == 2


def test_a_saved_table_is_read_back(words, tmp_path):
    table = task(doc_stride=2).encode(row_of(LONG, "good", "bad"), words(12))
    table.save(tmp_path / "t.safetensors")
    again = TokenTable.load(tmp_path / "t.safetensors")
    for name, array in table.extras.items():
        assert np.array_equal(again.extras[name], array) and again.extras[name].dtype == array.dtype
    assert np.array_equal(again.groups, table.groups) and np.array_equal(again.labels, table.labels)


@pytest.mark.parametrize(
    "name",
    ["bert", "roberta", "distilbert", "deberta-v2", "electra", "albert", "gpt2", "opt", "llama", "qwen2"],
)
def test_every_architecture_scores_windows_alike_alone_and_together(name, tmp_path, monkeypatch):
    import tiny_tasks

    from ftcli.config.compose import load
    from ftcli.run.encode import encode_parts
    from ftcli.run.inputs import load_inputs
    from ftcli.run.model import build_model

    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    model = tiny_models.write_model(tmp_path / "model", name)
    rows = tiny_tasks.write_rows(tmp_path / "rows", "extractive-qa", train=9, validation=4)
    words = ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", *rows]
    inputs = load_inputs(load(words).config)
    tables, _ = encode_parts(inputs)
    drawn, built, table = build_model(inputs), inputs.task, tables["train"]
    assert table.groups[-1] > 9

    def outcome(numbers, **options):
        batch = built.collate(table, np.array(numbers), pad_id=inputs.tokenizer.pad_id, padding_side="right", **options)  # fmt: skip
        with torch.no_grad():
            output = built.compute_loss(drawn.model, batch, train=True)
        return float(output.loss_sum), built.records(output, batch)

    whole, together = outcome(range(9), pad_to_multiple=16)
    alone = [outcome([row]) for row in range(9)]
    assert sum(loss for loss, _ in alone) == pytest.approx(whole, rel=1e-4)
    for (_, (single,)), record in zip(alone, together, strict=True):
        assert single == pytest.approx(record, rel=1e-3, abs=1e-4)
