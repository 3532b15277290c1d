"""Each metric against scikit-learn's, over batches of any size."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from ftcli.errors import ConfigError
from ftcli.registry import lookup

REFERENCES = {
    "accuracy": accuracy_score,
    "f1": lambda labels, found: f1_score(labels, found, average="macro", zero_division=0),
    "mcc": matthews_corrcoef,
}

pairs = st.integers(2, 5).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=60)
    )
)


def measure(name, num_labels, labels, predictions, batch=7):
    metric = lookup("metric", name).build()
    probabilities = torch.eye(num_labels)[torch.tensor(predictions)] * 0.5 + 0.1
    for start in range(0, len(labels), batch):
        metric.update(probabilities[start : start + batch], torch.tensor(labels[start : start + batch]))
    return metric.compute()


@pytest.mark.parametrize("name", REFERENCES)
@given(drawn=pairs)
@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
def test_equals_scikit_learn(name, drawn):
    num_labels, rows = drawn
    labels, predictions = zip(*rows, strict=True)
    expected = REFERENCES[name](labels, predictions)
    assert measure(name, num_labels, list(labels), list(predictions)) == pytest.approx(expected, abs=1e-12)


def test_values_by_hand():
    # labels 0 0 0 1, predictions 0 0 1 1: precision and recall (1, 2/3) and (1/2, 1)
    labels, predictions = [0, 0, 0, 1], [0, 0, 1, 1]
    assert measure("accuracy", 2, labels, predictions) == 0.75
    assert measure("f1", 2, labels, predictions) == pytest.approx((0.8 + 2 / 3) / 2)
    assert measure("mcc", 2, labels, predictions) == pytest.approx((2 * 1 - 0 * 1) / np.sqrt(3 * 2 * 2 * 1))


@pytest.mark.parametrize("name", REFERENCES)
def test_reset_forgets_and_nothing_counted_has_no_value(name):
    metric = lookup("metric", name).build()
    assert metric.higher_is_better is True
    metric.update(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([1, 0]))
    metric.reset()
    with pytest.raises(ValueError, match="no rows"):
        metric.compute()
    metric.update(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 1]))
    assert metric.compute() == 1.0


def test_an_unknown_metric_is_an_error_with_the_nearest():
    with pytest.raises(ConfigError) as caught:
        lookup("metric", "acuracy")
    assert caught.value.problems[0].hint == "did you mean accuracy?"
