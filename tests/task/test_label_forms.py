"""How labels of each task are read, and what is said of those that mean nothing."""

import numpy as np
import pytest
from label_rows import Letters, make, parts, refused, task

from ftcli.errors import ConfigError, DataError
from ftcli.task.choice_answers import Answers

# Several labels


def test_several_labels_as_list_text_or_ids():
    for values in (["a,b", "", "b"], [["a", "b"], [], ["b"]], ["a , b", None, "b"]):
        built = task("multi-label")
        assert built.learn_labels(parts(make(text=["x"] * 3, label=values))) == ["a", "b"]
        assert built.read_labels(make(text=["x"] * 3, label=values)).tolist() == [[1, 1], [0, 0], [0, 1]]
    rows = make(text=["x", "y"], label=[[0, 1], [1]], class_names=["no", "yes"])
    built = task("multi-label")
    assert built.learn_labels(parts(rows)) == ["no", "yes"]
    assert built.read_labels(rows).tolist() == [[1, 1], [0, 1]]


def test_a_column_for_each_label():
    built = task("multi-label", label_columns=["rude", "loud"])
    rows = make(text=["x"] * 3, rude=["1", 0, "true"], loud=[0, "0.0", 1])
    assert [f.column for f in built.fields()] == ["text", "rude", "loud"]
    assert built.learn_labels(parts(rows)) == ["rude", "loud"]
    assert built.read_labels(rows).tolist() == [[1, 0], [0, 0], [1, 1]]
    refused(task("multi-label", label_columns=["rude"]), make(text=["x"] * 2, rude=[1, "maybe"]), "'maybe'")


def test_several_labels_that_mean_nothing():
    refused(task("multi-label"), make(text=["x"] * 2, label=["a", 3.5]), "3.5")
    refused(task("multi-label"), make(text=["x"] * 2, label=[["a"], ["b", ""]]), "['b', '']")
    refused(task("multi-label"), make(text=["x"] * 2, label=["a", "a"]), "same labels", "data.columns.label")
    built = task("multi-label")
    with pytest.raises(DataError, match="'c' is not one of the 2 known"):
        built.learn_labels(
            parts(make(text=["x"] * 2, label=["a", "b"]), make("validation", text=["x"], label=["c"]))
        )
    with pytest.raises(ConfigError, match="there are 2 labels"):
        task("multi-label", num_labels=3).learn_labels(parts(make(text=["x"] * 2, label=["a", "b"])))
    assert task("multi-label", label_smoothing=0.1, separator="").config.problems()[1].key == "task.separator"


# Numbers


def test_numbers_are_read_from_text_and_a_part_may_have_none():
    built = task("regression")
    train = make(text=["x"] * 3, label=["1.5", -1, 2e3])
    assert built.learn_labels(parts(train, make("validation", text=["x"], label=[0]))) == ["label"]
    assert built.read_labels(train).tolist() == [1.5, -1.0, 2000.0]
    assert built.read_labels(make("test", text=["x"])) is None
    assert built.read_labels(make("test", text=["x"], label=[""])) is None
    assert built.read_labels(make("test", text=["x"], label=[-1])).tolist() == [-1.0]


@pytest.mark.parametrize("value", ["high", "", None, "nan", float("inf"), True, [1]])
def test_what_is_no_number(value):
    refused(task("regression"), make(text=["x"] * 2, label=[1, value]), repr(value))


def test_numbers_that_are_all_equal():
    refused(task("regression"), make(text=["x"] * 2, label=[2, 2]), "the label 2", "data.columns.label")


# Choices

LIST = {"choices": ["choices"]}


@pytest.mark.parametrize("answers", [["B", "A"], [1, 0], ["1", "0"], ["two", "un"]])
def test_answers_by_letter_place_or_text(answers):
    rows = make(text=["q", "q"], choices=[["one", "two"], ["un", "deux", "trois"]], label=answers)
    built = task("multiple-choice", LIST)
    assert built.learn_labels(parts(rows)) == ["choice"]
    assert built.read_labels(rows).tolist() == [1, 0]


def answered(answers, choices=("one", "two", "three"), labels=None, **config):
    """Returns the places that training rows with these answers are read as."""
    rows = make(text=["q"] * len(answers), choices=[list(choices)] * len(answers), label=answers)
    built = task("multiple-choice", LIST, **config)
    built.declared_names = labels
    built.learn_labels(parts(rows))
    return built.read_labels(rows).tolist()


def asked(answers, *said, **options):
    with pytest.raises(DataError) as caught:
        answered(answers, **options)
    problem = caught.value.problems[0]
    assert all(text in f"{problem.key} {problem.message} {problem.hint}" for text in said), problem


def test_answers_that_may_count_from_1_are_asked_for():
    asked([1, 2, 2], "task.answers_from=1", "task.answers_from=0")
    asked(["1", "2.0", "3"], "count from 1", "task.answers_from=1")
    assert answered([1, 2, 2], answers_from=1) == [0, 1, 1] and answered([1, 2, 2], answers_from=0) == [
        1,
        2,
        2,
    ]
    assert answered([1, 2, 3], answers_from=1) == [0, 1, 2] and answered([0, 1.0, "2"]) == [0, 1, 2]
    asked([1, 2, 3], "the answer 3 is none", answers_from=0)
    asked([0, 1, 3], "the answer 3 is none")


def test_a_zero_in_any_part_says_that_answers_count_from_0():
    rows = [make(name, text=["q"], choices=[["a", "b", "c"]], label=[answer]) for name, answer in (("train", 1), ("validation", 0))]  # fmt: skip
    task("multiple-choice", LIST).learn_labels(parts(*rows))
    finished = task("multiple-choice", LIST, labels=["choice"])
    assert finished.read_labels(rows[0]).tolist() == [1]


def test_answers_that_are_names_and_texts_of_other_choices_are_asked_for():
    numbers = ["2", "0", "1"]
    asked(["0", "1"], "task.answers_are=place", "task.answers_are=text", choices=numbers)
    assert answered(["0", "1"], choices=numbers, answers_are=Answers.place) == [0, 1]
    assert answered(["0", "1"], choices=numbers, answers_are=Answers.text) == [1, 2]
    asked(["A", "B"], "task.answers_are=name", "task.answers_are=text", choices=["B", "A"])
    assert answered(["A", "B"], choices=["B", "A"], answers_are=Answers.name) == [0, 1]
    assert answered(["0", "1"], choices=["0", "1"]) == [0, 1]
    assert answered([" one", "two "]) == [0, 1]


def test_names_of_places_may_be_declared():
    assert answered(["first", "last"], labels=["first", "middle", "last"]) == [0, 2]
    assert answered(["A", "C"], labels=["first", "middle", "last"]) == [0, 2]
    with pytest.raises(ConfigError, match="names 2 choices"):
        answered(["A"], labels=["first", "last"])


def test_choices_written_as_text_are_lists():
    rows = make(text=["q", "q"], choices=["['one', 'two']", "['un' 'deux' 'trois']"], label=["B", "A"])
    built = task("multiple-choice", LIST)
    built.learn_labels(parts(rows))
    assert built.choices(rows, 1) == ["un", "deux", "trois"] and built.read_labels(rows).tolist() == [1, 0]


def test_the_right_choice_of_an_example_is_marked():
    rows = make(text=["q", "r"], choices=[["a", "b", "d"], ["e", "f"]], label=["C", "A"])
    built = task("multiple-choice", LIST)
    table = built.encode(rows, Letters())
    marks = built.token_marks(table, 0)
    assert [chr(table.ids[place]) for place in marks] == ["q", "|", "d"] and marks[6].tag == "right"
    assert (built.label_text(table, 0), built.label_text(table, 1)) == ("choice 3 of 3", "choice 1 of 2")


def test_choices_with_names_of_their_own_and_a_column_each():
    rows = make(text=["q"], choices=[["one", "two"]], names=[["1", "2"]], label=["2"])
    assert task("multiple-choice", LIST | {"choice_names": "names"}).read_labels(rows).tolist() == [1]
    rows = make(text=["q"], A=["one"], B=["two"], C=["three"], label=["C"])
    built = task("multiple-choice", {"choices": ["A", "B", "C"]})
    assert built.read_labels(rows).tolist() == [2] and built.names(rows, 0) == ["A", "B", "C"]


def test_answers_and_choices_that_mean_nothing():
    built = task("multiple-choice", LIST)
    two = [["one", "two"]] * 2
    refused(built, make(text=["q"] * 2, choices=two, label=["A", "E"]), "'E' is none of its choices")
    refused(built, make(text=["q"] * 2, choices=two, label=["A", None]), "None is none")
    refused(
        built, make(text=["q"] * 2, choices=[["a", "b"], ["a"]], label=["A", "A"]), "the choices are ['a']"
    )
    named = task("multiple-choice", LIST | {"choice_names": "names"})
    rows = make(text=["q"] * 2, choices=two, names=[["1", "2"], ["1", "1"]], label=["1", "1"])
    refused(named, rows, "the names of its 2 choices are ['1', '1']")
    with pytest.raises(ConfigError, match="names no column"):
        task("multiple-choice").fields()


def text_of(table, sequence):
    return "".join(map(chr, table.ids[table.offsets[sequence] : table.offsets[sequence + 1]]))


def test_choices_of_a_row_are_sequences_of_one_group():
    rows = make(text=["q", "r"], more=["c", ""], choices=[["a", "b", "d"], ["e", "f"]], label=["B", "A"])
    table = task("multiple-choice", LIST).encode(rows, Letters())
    assert [text_of(table, i) for i in range(5)] == ["q|a", "q|b", "q|d", "r|e", "r|f"]
    assert (len(table), table.groups.tolist(), table.lengths.tolist(), table.longest) == (
        2,
        [0, 3, 5],
        [9, 6],
        3,
    )
    assert table.labels.tolist() == [1, 0] and table.label(1) == 0
    table = task("multiple-choice", LIST | {"text_pair": "more"}).encode(rows, Letters())
    assert [text_of(table, i) for i in (0, 3)] == ["c|q a", "r|e"]
    batch = task("multiple-choice", LIST).collate(table, np.array([1, 0]), pad_id=0, padding_side="right")
    assert batch["input_ids"].shape == (5, 5) and batch["labels"].tolist() == [0, 1]
    assert batch["place"].tolist() == [[0, 1, -1], [2, 3, 4]]


# Tags


def test_tags_stand_at_the_first_token_of_each_word():
    rows = make(text=[["ab", "c"], "d ef"], label=[["B-x", "O"], "O B-x"])
    built = task("token-classification")
    assert built.learn_labels(parts(rows)) == ["B-x", "O"]
    table = built.encode(rows, Letters())
    assert table.labels.tolist() == [0, -100, -100, 1, 1, -100, 0, -100]
    assert table.extras["tags"].tolist() == [0, 1, 1, 0]
    assert built.num_targets(table, np.array([0, 1])) == 4
    assert built.label_counts(table) == {"B-x": 2, "O": 2}


def test_words_that_were_cut_off_count_as_outside():
    import torch

    from ftcli.batching.output import StepOutput

    rows = make(text=[["ab", "c"]], label=[["B-x", "B-x"]])
    built = task("token-classification", labels=["B-x", "O"])
    table = built.encode(rows, Letters())
    table.ids, table.extras["words"], table.labels = (
        table.ids[:2],
        table.extras["words"][:2],
        table.labels[:2],
    )
    table.offsets = np.array([0, 2])
    table.__post_init__()
    batch = built.collate(table, np.array([0]), pad_id=0, padding_side="right")
    logits = torch.tensor([[[5.0, 0.0], [5.0, 0.0]]])
    output = StepOutput(torch.tensor(0.0), 1, logits)
    assert built.scored(output, batch)["tags"] == ([["B-x", "O"]], [["B-x", "B-x"]])
    line = built.prediction_row(built.records(output, batch)[0], table, rows, 0)
    assert (line["prediction"], line["label"]) == (["B-x", "O"], ["B-x", "B-x"])
    assert line["probabilities"] == [pytest.approx(0.9933, abs=1e-4), 0.0]
    assert built.read_back([line])["ids"][0].tolist() == [0, 1]


def test_tags_that_mean_nothing():
    built = task("token-classification")
    refused(built, make(text=["a b", "c"], label=["O B-x", "O O"]), "2 tags for 1 words")
    refused(built, make(text=["a b", "c"], label=["O B-x", 3]), "the tags are 3")
    refused(built, make(text=["a b", "c"], label=["O O", "O"]), "the label 'O'", "data.columns.label")
    with pytest.raises(DataError, match="the tag 'B-y' is not one of the 2 known"):
        train = make(text=["a b"], label=["O B-x"])
        task("token-classification").learn_labels(parts(train, make("validation", text=["a"], label=["B-y"])))


def test_answers_without_training_rows_are_asked_about_too():
    """A folder's model is scored on one file: 1 to 3 of four choices may count from 0 or from 1."""
    part = make("validation", text=["q"] * 3, choices=[["w", "x", "y", "z"]] * 3, label=["1", "2", "3"])
    built = task("multiple-choice", LIST)
    built.names_of_head = True
    with pytest.raises(DataError, match="may count from 0 or from 1"):
        built.read_labels(part)
    built = task("multiple-choice", LIST, answers_from=1)
    built.names_of_head = True
    assert built.read_labels(part).tolist() == [0, 1, 2]


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_part_without_a_word_is_refused(part):
    """Rows of empty lists: there is nothing to learn from, and nothing to score."""
    rows = {"text": [["a", "b"], ["c"]], "label": [["O", "B-x"], ["O"]]}
    empty = {"text": [[], []], "label": [[], []]}
    built = task("token-classification")
    made = {name: make(name, **(empty if name == part else rows)) for name in ("train", "validation")}
    with pytest.raises(DataError) as caught:
        built.learn_labels(parts(made["train"], made["validation"]))
    problem = caught.value.problems[0]
    assert problem.message == f"none of the 2 rows of the {part} part has a word"
    assert (problem.key, problem.hint) == ("data.columns.text", "is 'text' the right column?")
