"""Lists of labels: multi-hot, written as text, as ids of declared names."""

import warnings

import pytest
from label_rows import make, parts, refused, task

from ftcli.batching.cells import structure_in
from ftcli.errors import ConfigError, DataError

FLAGS = [[0, 1, 0], [1, 1, 0], [0, 0, 0]]


def three(values, name="train"):
    return make(name, text=["x"] * len(values), label=values)


@pytest.mark.parametrize(
    "values",
    [
        FLAGS,
        [[bool(v) for v in one] for one in FLAGS],
        [[float(v) for v in one] for one in FLAGS],
        [[str(v) for v in one] for one in FLAGS],
        [str(one) for one in FLAGS],
        ["[0 1 0]", "[1 1 0]", "[0 0 0]"],
        ["0,1,0", "1,1,0", "0,0,0"],
    ],
)
def test_lists_of_0_and_1_have_a_place_for_each_label(values):
    built = task("multi-label")
    assert built.learn_labels(parts(three(values), three([[0, 0, 1]], "validation"))) == ["0", "1", "2"]
    assert built.read_labels(three(values)).tolist() == FLAGS
    built = task("multi-label", labels=["rude", "loud", "long"])
    assert built.learn_labels(parts(three(values))) == ["rude", "loud", "long"]
    finished = task("multi-label", labels=["rude", "loud", "long"])
    assert finished.read_labels(three(values, "test")).tolist() == FLAGS


def test_what_does_not_fit_lists_of_0_and_1():
    built = task("multi-label")
    with pytest.raises(DataError, match="2 values for 3 labels"):
        built.learn_labels(parts(three(FLAGS), three([[0, 1]], "validation")))
    with pytest.raises(ConfigError, match="names 2 labels") as caught:
        task("multi-label", labels=["a", "b"]).learn_labels(parts(three(FLAGS)))
    assert "name 3 labels" in caught.value.problems[0].hint
    with pytest.raises(ConfigError, match="there are 3 labels"):
        task("multi-label", num_labels=2).learn_labels(parts(three(FLAGS)))
    refused(task("multi-label"), three([[0], [1]]), "one 0 or 1", "data.columns.label")


def test_one_0_or_1_a_row_is_what_the_declared_names_say():
    assert task("multi-label", labels=["rude"]).learn_labels(parts(three([[0], [1]]))) == ["rude"]
    built = task("multi-label", labels=["rude", "loud"])
    built.learn_labels(parts(three([[0], [1]])))
    assert built.read_labels(three([[0], [1]])).tolist() == [[1, 0], [0, 1]]


def test_lists_of_ids_are_no_flags():
    built = task("multi-label", labels=["a", "b", "c"])
    built.learn_labels(parts(three([[0, 2], [1], []])))
    assert built.read_labels(three([[0, 2], [1], []])).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert task("multi-label").learn_labels(parts(three([[0, 2], [1, 0]]))) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "values", [["['toxic']", "['toxic', 'threat']", "[]"], ['["toxic"]', '["toxic", "threat"]', ""], ["['toxic']", "['toxic' 'threat']", None], ["[toxic]", "[toxic, threat]", " "], ["('toxic',)", "{'toxic', 'threat'}", "()"]]
)  # fmt: skip
def test_lists_written_as_text_are_lists(values):
    built = task("multi-label")
    assert built.learn_labels(parts(three(values))) == ["threat", "toxic"]
    assert built.read_labels(three(values)).tolist() == [[0, 1], [1, 1], [0, 0]]


def test_brackets_that_hold_no_list_are_refused():
    refused(task("multi-label"), three(["a", "[0 0 ... 1]x]"]), "[0 0 ... 1]x]")
    refused(task("multi-label"), three(["a", "['a', b]"]), "['a', b]")


def test_declared_names_of_columns_of_0_and_1():
    built = task("multi-label", labels=["rude", "loud"], label_columns=["l0", "l1"])
    rows = make(text=["x", "y"], l0=[0, True], l1=["1", 0.0])
    assert built.learn_labels(parts(rows)) == ["rude", "loud"]
    assert built.read_labels(rows).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ConfigError, match="names 1 labels"):
        task("multi-label", labels=["rude"], label_columns=["l0", "l1"]).learn_labels(parts(rows))


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        ("['EU', 'rejects']", "['B-ORG', 'O']"),
        ('["EU", "rejects"]', "['B-ORG' 'O']"),
        ("EU rejects", "[B-ORG, O]"),
        (["EU", "rejects"], "B-ORG O"),
    ],
)
def test_words_and_tags_written_as_text_are_lists(words, tags):
    built = task("token-classification")
    rows = make(text=[words], label=[tags])
    assert built.learn_labels(parts(rows)) == ["B-ORG", "O"]
    assert built.words(rows, 0) == ["EU", "rejects"] and built.read_labels(rows)[0].tolist() == [0, 1]


@pytest.mark.parametrize("tags", [[1, 0], "1 0", "[1, 0]", "[1 0]", ["1", "0"], [1.0, 0.0]])
def test_tags_may_be_ids_of_declared_names(tags):
    built = task("token-classification", labels=["O", "B-ORG"])
    assert built.learn_labels(parts(make(text=["EU rejects"], label=[tags]))) == ["O", "B-ORG"]
    assert built.read_labels(make(text=["EU rejects"], label=[tags]))[0].tolist() == [1, 0]


def test_ids_that_count_from_1_are_answered_with_the_word_to_type():
    rows = make(text=["EU rejects it"], label=["1 2 3"])
    refused(task("token-classification", labels=["O", "B", "I"]), rows, "the tags are 1 to 3", "train.tsv:2")
    built = task("token-classification", labels=["O", "B", "I"], labels_from=1)
    built.learn_labels(parts(rows))
    assert built.read_labels(rows)[0].tolist() == [0, 1, 2]
    built = task("multi-label", labels=["a", "b"], labels_from=1)
    built.learn_labels(parts(three([[1], [1, 2]])))
    assert built.read_labels(three([[1], [1, 2]])).tolist() == [[1, 0], [1, 1]]
    assert task("regression", labels_from=1).config.problems()[0].key == "task.labels_from"


def test_texts_in_brackets_give_no_warnings_of_python():
    """Backslashes and missing commas are no fault of code: the text is a user's."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert structure_in(r"['a\d', 'b']") == [r"a\d", "b"]
        assert structure_in("('a' ('b'))") is None
    assert not said
