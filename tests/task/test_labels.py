"""Names, ids and every way in which labels can be wrong."""

import hashlib

import numpy as np
import pytest
from label_rows import make, task

from ftcli.batching.rows import Rows
from ftcli.errors import ConfigError, DataError, FtcliError
from ftcli.task.label_ids import label_ids
from ftcli.task.labels import is_unlabelled, learn_names, names_in

SHA = hashlib.sha256(b"").hexdigest()


def rows(labels, name="train", class_names=None):
    lines = np.arange(2, len(labels) + 2)
    return Rows(
        name, {"text": ["t"] * len(labels), "label": list(labels)}, f"{name}.tsv", SHA, lines, class_names
    )


def learned(labels, given=None, num_labels=None, class_names=None):
    return learn_names(rows(labels, class_names=class_names), "label", given, num_labels)


def ids(labels, names, declared=False, class_names=None):
    return label_ids(rows(labels, "validation", class_names), "label", names, declared=declared).tolist()


def problem(error, function, *arguments, **options):
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    return caught.value.problems[0]


def test_values_and_their_names():
    values = ["a", "NA", "null", " ", 3, -1, True, 2.0, None, "", "007", "[Other]"]
    assert names_in(rows(values), "label") == [
        "a",
        "NA",
        "null",
        None,
        "3",
        "-1",
        "true",
        "2",
        None,
        None,
        "007",
        "[Other]",
    ]


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf")])
def test_values_that_are_no_classes(value):
    found = problem(DataError, names_in, rows(["a", value]), "label")
    assert (found.key, found.hint) == ("train.tsv:3", "expected a class: text or a whole number")


@pytest.mark.parametrize("value", [["a"], "['a', 'b']", '["a"]', "[0 1 0]"])
def test_a_list_is_no_class_also_where_it_is_written_as_text(value):
    found = problem(DataError, names_in, rows(["a", value]), "label")
    assert found.key == "train.tsv:3" and "task=multi-label" in found.hint


@pytest.mark.parametrize("value", [{"name": 1}, '{"name": 1}', "{'name': 1}"])
def test_an_object_is_no_class_and_its_value_has_a_path(value):
    found = problem(DataError, names_in, rows(["a", value]), "label")
    assert found.key == "train.tsv:3" and found.hint.endswith("data.columns.label=label.name")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["pos", "neg", "pos"], ["neg", "pos"]),
        (["10", "9", "2"], ["2", "9", "10"]),
        ([10, 9, 2], ["2", "9", "10"]),
        (["1", "-1", "0"], ["-1", "0", "1"]),
        (["1", "2"], ["1", "2"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["10", "9", "02"], ["02", "10", "9"]),
        (["10.0", "2.0"], ["2.0", "10.0"]),
        ([True, False], ["false", "true"]),
    ],
)
def test_learned_names(labels, names):
    assert learned(labels) == names


def test_given_names_come_before_declared_ones_before_learned_ones():
    labels = [0, 1, 1]
    assert learned(labels, ["no", "yes"], class_names=["neg", "pos"]) == ["no", "yes"]
    assert learned(labels, class_names=["neg", "pos"]) == ["neg", "pos"]
    assert learned(labels) == ["0", "1"]


def test_num_labels_is_checked_and_fills_ids_without_rows():
    assert learned(["0", "2"], num_labels=4) == ["0", "1", "2", "3"]
    assert learned(["b", "a"], num_labels=2) == ["a", "b"]
    for labels, given, number in (
        (["a", "b", "c"], None, 2),
        (["a", "b"], None, 3),
        (["a"], ["a", "b", "c"], 2),
    ):
        found = problem(ConfigError, learned, labels, given, number)
        assert found.key == "task.num_labels"
    assert problem(ConfigError, learned, ["0", "5"], None, 3).hint.startswith("type task.num_labels=2 ")


def test_names_given_twice():
    assert problem(ConfigError, learned, ["a"], ["a", "a"]).key == "data.label_names"


@pytest.mark.parametrize("absent", [None, ""])
def test_a_training_row_without_a_label(absent):
    found = problem(DataError, learned, ["a", "b", absent])
    assert found.key == "train.tsv:4"
    assert found.message == "the label is missing (column 'label')"


def test_a_label_for_each_row_is_the_wrong_column():
    assert problem(DataError, learned, [f"text {i}" for i in range(21)]).key == "data.columns.label"
    assert len(learned([f"text {i}" for i in range(20)])) == 20
    assert len(learned([str(i) for i in range(21)], num_labels=21)) == 21


def test_ids_by_name_and_by_position():
    assert ids(["b", "a"], ["a", "b"]) == [1, 0]
    assert ids(["2", "1"], ["1", "2"]) == [1, 0]
    assert ids([0, 1], ["negative", "positive"], declared=True) == [0, 1]
    assert ids(["positive", "negative"], ["negative", "positive"], declared=True) == [1, 0]


def test_ids_follow_the_names_that_the_source_declares():
    # The source counts positive as 0; the model's own order is the other way round.
    assert ids([0, 1, 0], ["negative", "positive"], True, ["positive", "negative"]) == [1, 0, 1]
    assert ids([0, 1], ["no", "yes"], True, ["negative", "positive"]) == [0, 1]


@pytest.mark.parametrize(
    ("labels", "names", "declared", "line", "hint"),
    [
        (["a", "c"], ["a", "b"], False, 3, "there is a, b"),
        (["positive", "positve"], ["negative", "positive"], True, 3, "did you mean positive?"),
        (["0", "1"], ["neg", "pos"], False, 2, "known are neg, pos"),
        (["0", "1", "2"], ["neg", "pos"], True, 4, "known are neg, pos"),
        (["1", "0"], ["1", "2"], True, 3, "known are 1, 2"),
        (["neg", "1"], ["neg", "pos"], True, 3, "known are neg, pos"),
        (["0", "-1"], ["0", "1"], True, 3, "known are 0, 1"),
    ],
)
def test_labels_that_training_does_not_know(labels, names, declared, line, hint):
    found = problem(FtcliError, ids, labels, names, declared)
    assert found.key == f"validation.tsv:{line}"
    assert found.message.startswith(f"the label {labels[line - 2]!r} is not one of the 2 known")
    assert found.hint == hint


def test_a_missing_label_where_labels_must_be():
    assert problem(DataError, ids, ["a", None], ["a", "b"]).message == "the label is missing (column 'label')"


@pytest.mark.parametrize("labels", [[None, None], ["", ""], [-1, -1], ["-1", "-1"]])
def test_parts_without_labels(labels):
    assert is_unlabelled(rows(labels, "test"), "label", ["0", "1"])


def test_parts_with_labels():
    assert is_unlabelled(rows(["a"], "test"), "other", ["a"])
    assert not is_unlabelled(rows(["0", "1"], "test"), "label", ["0", "1"])
    assert not is_unlabelled(rows(["-1", "1"], "test"), "label", ["-1", "1"])
    found = problem(DataError, is_unlabelled, rows(["0", None, "1"], "test"), "label", ["0", "1"])
    assert (found.key, found.hint) == ("test.tsv:3", "label all rows or none")


def test_ids_may_count_from_1_where_that_is_typed():
    values = ["1", "2", "3"]
    found = problem(DataError, ids, values, ["a", "b", "c"], declared=True)
    assert "are 1 to 3" in found.message and "task.labels_from=1" in found.hint
    part = rows(values, "validation")
    assert label_ids(part, "label", ["a", "b", "c"], declared=True, base=1).tolist() == [0, 1, 2]
    assert learn_names(rows(["1", "2", "4"]), "label", None, 4, base=1) == ["1", "2", "3", "4"]
    assert learn_names(rows(["1", "2", "3"]), "label", None, 4) == ["0", "1", "2", "3"]


def test_digits_that_python_reads_as_no_number_are_names():
    long = "9" * 5000
    assert learned(["10", "9", "10"]) == ["9", "10"]
    assert learned(["10", "9", long]) == ["10", "9", long]


def test_booleans_and_whole_floats_are_ids_and_names_in_every_form():
    assert ids([True, False, "True"], ["no", "yes"], declared=True) == [1, 0, 1]
    assert ids(["True", "FALSE"], ["false", "true"]) == [1, 0]
    assert ids(["1.0", "0.0"], ["no", "yes"], declared=True) == [1, 0]
    assert ids(["1.0", "2.0"], ["1", "2"]) == [0, 1] and ids([1, 2], ["1.0", "2.0"]) == [0, 1]


def test_declared_names_say_which_id_is_which_label_of_a_finished_run():
    """The run has its own order; the rows count as data.label_names does."""
    part = rows(["0", "1", "1"], "validation", None)
    names = ["positive", "negative"]
    assert label_ids(part, "label", names, declared=True).tolist() == [0, 1, 1]
    for own in (["negative", "positive"], ["Negative", "Positive"]):
        assert label_ids(part, "label", names, declared=True, own_names=own).tolist() == [1, 0, 0]
    hot = task("multi-label", labels=["b", "a", "c"])
    hot.declared_names = ["a", "b", "c"]
    assert hot.read_labels(make("validation", text=["x"] * 2, label=[[1, 0, 0], [1, 1, 0]])).tolist() == [
        [0, 1, 0],
        [1, 1, 0],
    ]
