"""Each metric against scikit-learn's, scipy's or torchmetrics', over batches of any size."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk

from ftcli.config.registry import lookup, split_name
from ftcli.errors import ConfigError
from ftcli.metric._spans import entities, scheme_of

LABELS = ["a", "b", "c", "d", "e"]
ALL = ["accuracy", "auroc", "balanced-accuracy", "ece", "f1", "f1@micro", "hits@2", "log-loss", "map@3", "mcc",
       "mrr", "mse", "pearson", "precision", "r2", "recall", "spearman"]  # fmt: skip

PREDICTED = {
    "accuracy": sk.accuracy_score,
    "balanced-accuracy": sk.balanced_accuracy_score,
    "f1": lambda y, p: sk.f1_score(y, p, average="macro", zero_division=0),
    "f1@micro": lambda y, p: sk.f1_score(y, p, average="micro"),
    "f1@b": lambda y, p: sk.f1_score(y, p, labels=[1], average="macro", zero_division=0),
    "precision": lambda y, p: sk.precision_score(y, p, average="macro", zero_division=0),
    "precision@a": lambda y, p: sk.precision_score(y, p, labels=[0], average="macro", zero_division=0),
    "recall": lambda y, p: sk.recall_score(y, p, average="macro", zero_division=0),
    "recall@micro": lambda y, p: sk.recall_score(y, p, average="micro"),
    "mcc": sk.matthews_corrcoef,
}

pairs = st.integers(2, 5).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=60)
    )
)


def build(name, labels=()):
    base, parameter = split_name(name)
    return lookup("metric", base).build(parameter, labels)


def feed(metric, predictions, labels, batch=7):
    for start in range(0, len(labels), batch):
        metric.update(predictions[start : start + batch], labels[start : start + batch])
    return metric.compute()


def measure(name, num_labels, labels, predictions):
    probabilities = torch.eye(num_labels)[torch.tensor(predictions)] * 0.5 + 0.1
    return feed(build(name, LABELS[:num_labels]), probabilities, torch.tensor(labels))


@pytest.mark.parametrize("name", PREDICTED)
@given(drawn=pairs)
@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
def test_of_predicted_classes_equals_scikit_learn(name, drawn):
    num_labels, rows = drawn
    labels, predictions = map(list, zip(*rows, strict=True))
    expected = PREDICTED[name](labels, predictions)
    assert measure(name, num_labels, labels, predictions) == pytest.approx(expected, abs=1e-12)


def test_values_by_hand():
    # labels 0 0 0 1, predictions 0 0 1 1: precision and recall (1, 2/3) and (1/2, 1)
    labels, predictions = [0, 0, 0, 1], [0, 0, 1, 1]
    assert measure("accuracy", 2, labels, predictions) == 0.75
    assert measure("f1", 2, labels, predictions) == pytest.approx((0.8 + 2 / 3) / 2)
    assert measure("f1@class", 2, labels, predictions) == pytest.approx({"a": 0.8, "b": 2 / 3})
    assert measure("mcc", 2, labels, predictions) == pytest.approx((2 * 1 - 0 * 1) / np.sqrt(3 * 2 * 2 * 1))


def draw(rows, width, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(rows, width, generator=generator).double()
    return scores, torch.randint(0, width, (rows,), generator=generator)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [2, 4])
def test_of_probabilities_equals_the_libraries(width, seed):
    from torchmetrics.classification import MulticlassCalibrationError

    scores, labels = draw(83, width, seed)
    p, y = scores.softmax(-1), labels.numpy()
    area = sk.roc_auc_score(y, p[:, 1]) if width == 2 else sk.roc_auc_score(y, p, multi_class="ovr")
    assert feed(build("auroc"), p, labels) == pytest.approx(area, abs=1e-12)
    assert feed(build("log-loss"), p, labels) == pytest.approx(sk.log_loss(y, p, labels=range(width)))
    theirs = MulticlassCalibrationError(width, n_bins=15, norm="l1")
    assert feed(build("ece"), p, labels) == pytest.approx(float(theirs(p, labels)), abs=1e-6)
    for k in range(1, width):
        expected = sk.top_k_accuracy_score(y, p, k=k, labels=range(width)) if width > 2 else None
        if expected is not None:
            assert feed(build(f"hits@{k}"), p, labels) == pytest.approx(expected)
    relevance = np.eye(width)[y]
    expected = sk.label_ranking_average_precision_score(relevance, p)
    assert feed(build("mrr"), p, labels) == pytest.approx(expected)
    assert feed(build(f"map@{width}"), p, labels) == pytest.approx(expected)


def test_map_at_3_by_hand_with_a_choice_that_is_not_there():
    # Places of the right one: 1, 2, 3, 4. The last row has three choices and the right one is the last of them.
    p = torch.tensor(
        [
            [0.4, 0.3, 0.2, 0.1],
            [0.3, 0.4, 0.2, 0.1],
            [0.3, 0.4, 0.2, 0.1],
            [0.3, 0.4, 0.2, 0.1],
            [0.5, 0.4, 0.1, -1],
        ]
    )
    labels = torch.tensor([0, 0, 2, 3, 2])
    assert feed(build("map@3"), p, labels, batch=2) == pytest.approx((1 + 1 / 2 + 1 / 3 + 0 + 1 / 3) / 5)
    assert feed(build("hits@1"), p, labels) == pytest.approx(1 / 5)
    assert feed(build("mrr"), p, labels) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 3) / 5)


@pytest.mark.parametrize("seed", range(3))
def test_several_labels_equal_scikit_learn(seed):
    scores, _ = draw(61, 4, seed)
    labels = (draw(61, 4, seed + 100)[0] > 0.6).long()
    found, right = (scores >= 0.5).numpy(), labels.numpy()
    assert feed(build("accuracy"), scores, labels) == pytest.approx(sk.accuracy_score(right, found))
    for name, function in (
        ("f1", sk.f1_score),
        ("precision", sk.precision_score),
        ("recall", sk.recall_score),
    ):
        for average in ("macro", "micro"):
            typed = name if average == "macro" else f"{name}@micro"
            expected = function(right, found, average=average, zero_division=0)
            assert feed(build(typed, LABELS[:4]), scores, labels) == pytest.approx(expected)
    assert feed(build("auroc"), scores, labels) == pytest.approx(sk.roc_auc_score(right, scores.numpy()))
    expected = np.mean([sk.log_loss(right[:, i], scores[:, i].numpy(), labels=[0, 1]) for i in range(4)])
    assert feed(build("log-loss"), scores, labels) == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_of_values_equals_the_libraries(shift):
    generator = torch.Generator().manual_seed(3)
    right = torch.rand(90, generator=generator).double() + shift
    found = right + torch.randn(90, generator=generator).double() * 0.3
    x, y = found.numpy(), right.numpy()
    expected = {"mse": sk.mean_squared_error(y, x), "r2": sk.r2_score(y, x), "pearson": pearsonr(x, y)[0],
                "spearman": spearmanr(x, y)[0]}  # fmt: skip
    for name, value in expected.items():
        assert feed(build(name), found, right) == pytest.approx(value, rel=1e-6), name


def test_figures_that_do_not_exist_are_nan():
    equal = torch.ones(4)
    assert math.isnan(feed(build("spearman"), equal, torch.arange(4.0)))
    assert math.isnan(feed(build("pearson"), equal[:1], equal[:1]))
    assert math.isnan(feed(build("auroc"), torch.tensor([[0.2, 0.8]]), torch.tensor([1])))


def test_entities_equal_seqeval():
    from seqeval.metrics import f1_score

    right = [["B-per", "I-per", "O", "B-loc"], ["O", "O"], ["I-per", "B-per"], ["B-loc", "I-loc", "I-loc"]]
    found = [["B-per", "I-per", "O", "B-per"], ["O", "B-loc"], ["I-per", "B-per"], ["B-loc", "I-loc", "O"]]
    assert feed(build("span-f1"), found, right, batch=3) == pytest.approx(f1_score(right, found))
    # per: 3 of 4 found are right, 3 of 3 are found; loc: 0 of 2 found, 2 there
    assert feed(build("span-f1@class"), found, right) == pytest.approx({"per": 6 / 7, "loc": 0.0})


@pytest.mark.parametrize(("scheme", "letters"), [("BILOU", "BILU"), ("IOBES", "BIES")])
def test_strict_schemes_equal_seqeval(scheme, letters):
    import random

    from seqeval.metrics import f1_score
    from seqeval.scheme import BILOU, IOBES

    draw = random.Random(3)
    names = ["O", *(f"{letter}-{kind}" for letter in letters for kind in ("x", "y"))]
    lengths = [draw.randint(1, 6) for _ in range(300)]
    right, found = ([draw.choices(names, k=length) for length in lengths] for _ in range(2))
    expected = f1_score(right, found, mode="strict", scheme={"BILOU": BILOU, "IOBES": IOBES}[scheme])
    assert 0 < expected < 1 and scheme_of(names).name == scheme.lower()
    assert feed(build("span-f1", labels=names), found, right, batch=7) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("ORG ORG O EVENT LOC", {("ORG", 0, 1), ("EVENT", 3, 3), ("LOC", 4, 4)}),
        ("B_x I_x O", {("x", 0, 1)}),
        ("x-B x-I y-I", {("x", 0, 1), ("y", 2, 2)}),
        ("B I O I", {("_", 0, 1), ("_", 3, 3)}),
        ("I-x I-x B-x", {("x", 0, 1), ("x", 2, 2)}),
        ("B-x I-x L-x U-y I-y", {("x", 0, 2), ("y", 3, 3)}),
        ("S-x B-y E-x B-y E-y", {("x", 0, 0), ("y", 3, 4)}),
    ],
)
def test_entities_of_every_scheme(tags, expected):
    assert entities(tags.split(), scheme_of(tags.split())) == expected


@pytest.mark.parametrize("name", ALL)
def test_reset_forgets_and_nothing_counted_has_no_value(name):
    metric = build(name)
    with pytest.raises(ValueError, match="no rows"):
        metric.compute()
    values = metric.kinds == ("values",)
    first = (torch.tensor([0.9, 0.1, 0.3]), torch.tensor([1.0, 0.0, 3.0]))
    second = (torch.tensor([0.9, 0.1, 0.2]), torch.tensor([0.5, 0.1, 0.9]))
    if not values:
        first = (torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([1, 0]))
        second = (torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 1]))
    metric.update(*first)
    metric.reset()
    metric.update(*second)
    fresh = build(name)
    fresh.update(*second)
    assert metric.compute() == fresh.compute()


ANSWERS = [  # predicted, right ones, exact match and F1 by hand
    ("the Eiffel Tower!", ["Eiffel  tower"], 1, 1),
    ("in Paris", ["Paris", "the city of Paris"], 0, 2 / 3),
    ("a b c c", ["c c d"], 0, 4 / 6),
    ("Oslo", ["Rome"], 0, 0),
    ("", [], 1, 1),
    ("Oslo", [], 0, 0),
    ("", ["Oslo"], 0, 0),
    ("the", ["an", "!"], 1, 1),
    ("Zoë's café", ["zoës café"], 1, 1),
]


def test_answers_by_hand():
    found, right, exact, f1 = map(list, zip(*ANSWERS, strict=True))
    assert feed(build("exact-match"), found, right, batch=2) == pytest.approx(sum(exact) / len(ANSWERS))
    for one in zip(found, right, f1, strict=True):
        assert feed(build("answer-f1"), [one[0]], [one[1]]) == pytest.approx(one[2]), one
    assert feed(build("answer-f1"), found, right, batch=4) == pytest.approx(sum(f1) / len(ANSWERS))


texts = st.lists(st.sampled_from(["a", "The", "Oslo", "oslo.", "New", "York", "U.S.", "an"]), min_size=1, max_size=5).map(" ".join)  # fmt: skip


@given(rows=st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=8))
def test_answers_equal_torchmetrics(rows):
    from torchmetrics.functional.text import squad

    # The script of version 1.1, which torchmetrics follows, knows no rows without an answer.
    words = {"a", "the", "an"}
    rows = [(p, r) for p, r in rows if not any(set(text.lower().split()) <= words for text in [p, *r])]
    if not rows:
        return
    found, right = map(list, zip(*rows, strict=True))
    predictions = [{"id": str(i), "prediction_text": text} for i, text in enumerate(found)]
    target = [{"id": str(i), "answers": {"text": of, "answer_start": [0] * len(of)}} for i, of in enumerate(right)]  # fmt: skip
    expected = squad(predictions, target)
    assert 100 * feed(build("exact-match"), found, right) == pytest.approx(float(expected["exact_match"]), rel=1e-5)  # fmt: skip
    assert 100 * feed(build("answer-f1"), found, right) == pytest.approx(float(expected["f1"]), rel=1e-5)


@pytest.mark.parametrize(("name", "said"), [
    ("exact-match@1", "takes nothing"),
    ("accuracy@3", "takes nothing"),
    ("map", "needs its k"),
    ("map@0", "no k"),
    ("hits@two", "no k"),
    ("f1@nothing", "no label 'nothing'"),
    ("span-f1@x", "no parameter"),
])  # fmt: skip
def test_parameters_are_checked(name, said):
    with pytest.raises(ConfigError, match=said):
        build(name, LABELS)


def test_an_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        lookup("metric", "acuracy")
    assert "accuracy" in caught.value.problems[0].hint
