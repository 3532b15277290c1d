"""Names of labels that are pieces of something else, or one name spelled in several ways."""

import pytest
from label_rows import Letters, make, parts, task

from ftcli.config.compose import load
from ftcli.run.data_checks.findings import Level
from ftcli.run.data_checks.labels import check_labels
from ftcli.run.data_checks.rows import check_balance


def findings(values, name="sequence-classification", labels=None, texts=None, **config):
    """Returns name of a finding -> finding, for training rows with these labels."""
    built = task(name, None, labels, **config)
    rows = make(text=texts or [f"x{i}" for i in range(len(values))], label=values)
    built.learn_labels(parts(rows))
    table = built.encode(rows, Letters())
    found = check_labels(built, table, built.label_counts(table), typed=labels is not None)
    return {f.name: f for f in found if f.level is not Level.fact}


@pytest.mark.parametrize(
    "values", [["pos", "pos "], ["pos", "Pos"], ["caf\u00e9", "cafe\u0301"], ["pos", "p\u200bos"], ["a  b", "a b"], ["pos", "\uff50os"]]
)  # fmt: skip
def test_names_that_differ_in_case_spaces_or_encoding_alone_are_refused(values):
    found = findings([*values, "other"])["label-twins"]
    assert found.level is Level.error and all(ascii(value) in found.text for value in values)


def test_letters_are_classes_of_their_own_and_typed_names_are_the_users_word():
    assert not findings(["a", "A", "b"])
    assert not findings(["pos", "Pos"], labels=["pos", "Pos"])
    assert findings([" pos", " neg"])["label-spaces"].level is Level.warning


@pytest.mark.parametrize("values", [["['O',", "x"], ["'B-geo']", "x"], ['"O"]}', "x"], ["{a", "x"]])
def test_pieces_of_lists_are_refused(values):
    assert findings(values)["label-structure"].level is Level.error


def test_tags_of_punctuation_and_brackets_that_close_are_names():
    assert not findings(
        ["( ) '' , Comedy_(Film) It's 5\" -LRB-"], "token-classification", texts=["a b c d e f g h"]
    )
    assert findings(["[Other]", "x"])["label-brackets"].level is Level.warning


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (["rain|snow", "rain", "snow"], "'task.separator=\"|\"'"),
        (["rain;snow", "sun"], "'task.separator=\";\"'"),
        (["rain,snow", "rain", "snow"], "'task.separator=\",\"'"),
        (["rain/snow", "rain", "snow"], "task.separator=/"),
    ],
)
def test_several_labels_in_one_name_are_said(values, word):
    found = findings(values)["label-separator"]
    assert found.level is Level.warning and found.hint.startswith(f"type task=multi-label {word}")


@pytest.mark.parametrize(
    ("separator", "read"),
    [("|", "|"), (";", ";"), ("/", "/"), ("&", "&"), ("+", "+"), (" ", " "), ("\t", "\\t")],
)
def test_several_labels_with_another_separator_are_refused_with_the_word_to_type(separator, read):
    import shlex

    found = findings([f"rain{separator}snow", "rain", "snow"], "multi-label")["label-separator"]
    assert found.level is Level.error
    words = shlex.split(found.hint)[1:]
    assert load(["task=multi-label", *words]).config.task.separator == read
    assert not findings([f"rain{separator}snow", "rain", "sun"], "multi-label", separator=separator)


@pytest.mark.parametrize(
    "values", [["very good", "good", "very bad", "bad"], ["Sci/Tech", "World"], ["New York", "York"]]
)
def test_names_of_several_words_are_names(values):
    assert not findings(values)


def test_tags_on_first_words_alone_are_said():
    texts, tags = ["a b c"] * 5, ["B-x O O"] * 5
    assert findings(tags, "token-classification", texts=texts)["first-words"].level is Level.warning
    assert not findings(tags + ["O B-x O"], "token-classification", texts=[*texts, "a b c"])


@pytest.mark.parametrize(
    ("name", "values"), [("sequence-classification", ["1", "2"]), ("multi-label", [["1"], ["1", "2"]]), ("token-classification", ["1 2", "1 2"])]
)  # fmt: skip
def test_ids_without_a_first_one_may_count_from_1(name, values):
    names = ["a", "b", "c"]
    texts = ["x y", "y z"]
    found = findings(values, name, names, texts)["ids-from-one"]
    assert found.level is Level.warning and "type task.labels_from=1" in found.hint
    assert not findings(values, name, names, texts, labels_from=0)
    assert not findings(values, name, names, texts, labels_from=1)
    assert not findings(["a", "b", "c"], labels=names)


def test_a_number_of_ids_without_a_first_one():
    assert "ids-from-one" in findings(["1", "2", "3"], num_labels=4)
    assert not findings(["1", "2", "3"]) and not findings(["0", "1", "2"], num_labels=4)


@pytest.mark.parametrize(
    ("values", "level"), [([[0, 0, 1], [1, 0, 0]], Level.warning), ([[0, 2], [0]], Level.error)]
)
def test_a_place_of_multi_hot_lists_may_have_no_row(values, level):
    built = task("multi-label", labels=["a", "b", "c"])
    rows = make(text=["x", "y"], label=values)
    built.learn_labels(parts(rows))
    counts = built.label_counts(built.encode(rows, Letters()))
    found = check_balance({"train": counts}, places=built.labels_are_places)
    assert [(f.level, "'b'" in f.text) for f in found if f.name == "class-missing"] == [(level, True)]


@pytest.mark.parametrize(
    ("tags", "said"), [("B-x I-x O", "BIO"), ("B-x E-x S-x", "IOBES"), ("U-x L-x O", "BILOU"), ("x y O", "without prefixes")]
)  # fmt: skip
def test_the_scheme_of_tags_is_named(tags, said):
    built = task("token-classification")
    rows = make(text=["a b c"], label=[tags])
    built.learn_labels(parts(rows))
    table = built.encode(rows, Letters())
    (fact,) = (f for f in check_labels(built, table, built.label_counts(table)) if f.name == "tags")
    assert fact.level is Level.fact and said in fact.text
