"""Collation, loss and predictions against plain formulas, with a real tokenizer and a real model."""

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from ftcli.batching.rows import DatasetSplits, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import lookup
from ftcli.config.schema import ColumnsConfig, TaskConfig
from ftcli.errors import DataError

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "good", "bad", "film", "not", "very"]
PAD = 0


class WordTokenizer:
    """Words of a list, with BERT's special tokens and token types."""

    fingerprint, max_length = "0" * 64, 16

    def __init__(self):
        words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
        self.backend = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]")

    def encode(self, texts, pairs):
        rows = self.backend(texts, pairs, return_token_type_ids=True)
        offsets = np.cumsum([0, *map(len, rows["input_ids"])]).astype(np.int64)
        return TokenTable(
            np.concatenate(rows["input_ids"]).astype(np.int32),
            offsets,
            np.concatenate(rows["token_type_ids"]).astype(np.uint8),
        )


def make(texts, labels=None, pairs=None, name="train", class_names=None):
    columns = {"text": texts}
    columns |= {"pair": pairs} if pairs else {}
    columns |= {"label": labels} if labels is not None else {}
    sha = hashlib.sha256(repr(columns).encode()).hexdigest()
    return Rows(name, columns, f"{name}.tsv", sha, np.arange(2, len(texts) + 2), class_names)


def build_task(label_names=None, text_pair=None, **config):
    entry = lookup("task", "sequence-classification")
    return entry.build(TaskConfig(**config), ColumnsConfig(text_pair=text_pair), label_names)


def table_of(rows, labels=None):
    flat = np.array([i for row in rows for i in row], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return TokenTable(flat, offsets, labels=None if labels is None else np.array(labels, dtype=np.int64))


def test_labels_learned_from_training_hold_for_every_part():
    task = build_task()
    parts = DatasetSplits(
        make(["good", "bad"], ["pos", "neg"]),
        make(["good"], ["pos"], name="validation"),
        make(["bad", "film"], [-1, -1], name="test"),
    )
    assert task.learn_labels(parts) == ["neg", "pos"]
    encoded = [task.encode(rows, WordTokenizer()) for rows in (parts.train, parts.validation, parts.test)]
    assert [None if t.labels is None else t.labels.tolist() for t in encoded] == [[1, 0], [1], None]
    assert task.auto_classes == ("AutoModelForSequenceClassification",)


def test_a_test_label_unknown_to_training():
    task = build_task()
    parts = DatasetSplits(
        make(["good", "bad"], ["0", "1"]), None, make(["bad", "good"], ["1", "2"], name="test")
    )
    with pytest.raises(DataError) as caught:
        task.learn_labels(parts)
    assert caught.value.problems[0].key == "test.tsv:3"


@pytest.mark.parametrize("label_names", [None, ["neg", "pos"]])
def test_one_class_is_not_trained(label_names):
    labels = ["pos", "pos"]
    with pytest.raises(DataError) as caught:
        build_task(label_names).learn_labels(DatasetSplits(make(["good", "bad"], labels), None, None))
    assert caught.value.problems[0].message == "all 2 training rows have the label 'pos'"


def test_names_that_the_source_declares():
    task = build_task()
    train = make(["good", "bad"], [1, 0], class_names=["neg", "pos"])
    validation = make(["good"], ["1"], name="validation")
    assert task.learn_labels(DatasetSplits(train, validation, None)) == ["neg", "pos"]
    assert task.encode(validation, WordTokenizer()).labels.tolist() == [1]


def test_a_finished_run_needs_no_training_rows():
    task = build_task(["neg", "pos"])
    assert task.encode(make(["good"], ["pos"], name="validation"), WordTokenizer()).labels.tolist() == [1]
    assert task.encode(make(["good"], name="predict"), WordTokenizer()).labels is None


def test_pairs_reach_the_tokenizer():
    task = build_task(["no", "yes"], text_pair="pair")
    table = task.encode(make(["good film"], ["yes"], ["bad"]), WordTokenizer())
    assert table.row(0).tolist() == [1, 4, 6, 2, 5, 2]
    assert table.token_types.tolist() == [0, 0, 0, 0, 1, 1]


def test_collate_by_hand():
    table = table_of([[5, 6, 7], [8], [9, 10]], [1, 0, 1])
    table.token_types = np.array([0, 1, 1, 0, 0, 1], dtype=np.uint8)
    right = build_task().collate(table, np.array([2, 0]), pad_id=3, padding_side="right")
    assert {name: tensor.tolist() for name, tensor in right.items()} == {
        "input_ids": [[9, 10, 3], [5, 6, 7]],
        "attention_mask": [[1, 1, 0], [1, 1, 1]],
        "token_type_ids": [[0, 1, 0], [0, 1, 1]],
        "labels": [1, 1],
    }
    assert all(tensor.dtype == torch.int64 for tensor in right.values())
    left = build_task().collate(table, np.array([2, 0]), pad_id=3, padding_side="left", pad_to_multiple=4)
    assert left["input_ids"].tolist() == [[3, 3, 9, 10], [3, 5, 6, 7]]
    assert left["attention_mask"].tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]
    assert left["token_type_ids"].tolist() == [[0, 0, 0, 1], [0, 0, 1, 1]]


def test_a_row_without_tokens_attends_to_one_pad():
    table = table_of([[], [5, 6]])
    for side, ids, mask in (("right", [3, 3], [1, 0]), ("left", [3, 3], [0, 1])):
        batch = build_task().collate(table, np.array([0, 1]), pad_id=3, padding_side=side)
        assert batch["input_ids"].tolist() == [ids, [5, 6]]
        assert batch["attention_mask"].tolist() == [mask, [1, 1]]
        assert "labels" not in batch
        alone = build_task().collate(table, np.array([0]), pad_id=3, padding_side=side)
        assert (alone["input_ids"].tolist(), alone["attention_mask"].tolist()) == ([[3]], [[1]])


@given(
    st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=12),
    st.sampled_from(["right", "left"]),
    st.sampled_from([None, 1, 8]),
    st.randoms(),
)
def test_collate_equals_padding_row_by_row(rows, side, multiple, random):
    order = np.array([random.randrange(len(rows)) for _ in range(5)])
    options = {"pad_id": 0, "padding_side": side, "pad_to_multiple": multiple}
    batch = build_task().collate(table_of(rows), order, **options)
    width = math.ceil(max(len(rows[i]) for i in order) / (multiple or 1)) * (multiple or 1)
    for place, i in enumerate(order):
        pad = [0] * (width - len(rows[i]))
        expected = rows[i] + pad if side == "right" else pad + rows[i]
        assert batch["input_ids"][place].tolist() == expected
        assert batch["attention_mask"][place].tolist() == [int(token > 0) for token in expected]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, num_labels=3,
    )  # fmt: skip
    return BertForSequenceClassification(config).eval()


ROWS = [[1, 4, 6, 2], [1, 5, 2], [1, 7, 8, 4, 6, 2], [1, 2]]


def batch_of(task, rows=(0, 1, 2, 3), **options):
    table = table_of(ROWS, [0, 2, 1, 1])
    return task.collate(table, np.array(rows), pad_id=PAD, padding_side="right", **options)


def test_loss_is_the_sum_of_cross_entropies(model):
    task = build_task(label_smoothing=0.1)
    batch = batch_of(task)
    output = task.compute_loss(model, batch, train=False)
    probabilities = task.scored(output, batch)["classes"][0]
    assert output.num_targets == 4
    assert float(output.loss_sum.detach()) == pytest.approx(
        -sum(math.log(probabilities[i, label]) for i, label in enumerate([0, 2, 1, 1])), rel=1e-5
    )
    assert probabilities.sum(-1).tolist() == pytest.approx([1.0] * 4)
    assert output.logits.dtype == output.loss_sum.dtype == torch.float32
    assert not output.logits.requires_grad
    assert output.loss_sum.requires_grad
    assert "labels" in batch


def test_label_smoothing_counts_in_training_only(model):
    task = build_task(label_smoothing=0.1)
    logs = task.compute_loss(model, batch_of(task), train=False).logits.log_softmax(-1)
    expected = -sum(
        float((0.9 + 0.1 / 3 if j == label else 0.1 / 3) * logs[i, j])
        for i, label in enumerate([0, 2, 1, 1])
        for j in range(3)
    )
    assert float(task.compute_loss(model, batch_of(task), train=True).loss_sum.detach()) == pytest.approx(
        expected, rel=1e-5
    )


def test_losses_of_micro_batches_add_up_whatever_their_padding(model):
    task = build_task()
    whole = task.compute_loss(model, batch_of(task), train=True)
    pieces = [
        task.compute_loss(model, batch_of(task, rows, pad_to_multiple=16), train=True)
        for rows in ([0, 1, 3], [2])
    ]
    assert sum(float(piece.loss_sum.detach()) for piece in pieces) == pytest.approx(
        float(whole.loss_sum.detach()), rel=1e-5
    )
    assert sum(piece.num_targets for piece in pieces) == whole.num_targets == 4


def test_without_labels_there_are_logits_and_no_targets(model):
    task = build_task()
    batch = batch_of(task)
    labelled = task.compute_loss(model, batch, train=False)
    output = task.compute_loss(model, {k: v for k, v in batch.items() if k != "labels"}, train=False)
    assert (float(output.loss_sum), output.num_targets) == (0.0, 0)
    assert torch.equal(output.logits, labelled.logits)


@pytest.mark.parametrize("num_labels", [2, 5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_no_logits_get_below_the_floor_and_the_best_reach_it(num_labels, smoothing):
    task = build_task([str(i) for i in range(num_labels)], label_smoothing=smoothing)
    floor, _ = task.fit_goal(table_of([[1]], [0]), np.array([0]))
    labels = torch.zeros(1, dtype=torch.int64)
    target = torch.full((1, num_labels), smoothing / num_labels)
    target[0, 0] += 1 - smoothing
    best = target.clamp_min(1e-30).log()
    measured = torch.nn.functional.cross_entropy(best, labels, label_smoothing=smoothing)
    assert float(measured) == pytest.approx(floor, abs=1e-6)
    for scale in (0.5, 0.9, 1.1, 2.0):
        loss = torch.nn.functional.cross_entropy(best * scale, labels, label_smoothing=smoothing)
        assert float(loss) >= floor - 1e-6


def test_counts_and_prediction_rows():
    task = build_task(["neg", "pos"])
    table = table_of(ROWS, [0, 1, 1, 1])
    assert task.num_targets(table, np.array([2, 0])) == 2
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])

    class Fixed(torch.nn.Module):
        def forward(self, **inputs):
            return type("Output", (), {"logits": logits})

    batch = task.collate(table, np.array([0, 1, 2]), pad_id=PAD, padding_side="right")
    output = task.compute_loss(Fixed(), batch, train=True)
    assert task.num_correct(output, batch) == 2
    rows = make(["a"] * 4)
    row = task.prediction_row(np.array([0.25, 0.75], dtype=np.float32), table, rows, 0)
    assert row == {"label": "neg", "prediction": "pos", "probabilities": {"neg": 0.25, "pos": 0.75}}
    found, right = task.read_back([row, {**row, "label": "pos"}])["classes"]
    assert found.tolist() == [[0.25, 0.75]] * 2 and right.tolist() == [0, 1]
    unlabelled = task.prediction_row(np.array([0.5, 0.5]), table_of(ROWS), rows, 0)
    assert unlabelled["label"] is None and unlabelled["prediction"] == "neg"
