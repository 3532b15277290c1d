"""From a configuration to checked, split and limited rows, with each decision said."""

import json

import pytest

from ftcli.batching.rows import text_fields
from ftcli.config.schema import ColumnsConfig, FilesConfig
from ftcli.data.reading import read_file
from ftcli.data.text import TextConfig, as_rows, build
from ftcli.errors import ConfigError, DataError, FtcliError, SourceError


def write(folder, **parts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        lines = ["text\tlabel", *(f"{text}\t{label}" for text, label in rows)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def some(number, start=0):
    return [(f"text {i}", i % 2) for i in range(start, start + number)]


def problems(config, **options):
    with pytest.raises(FtcliError) as caught:
        build(config, seed=0, **options)
    return caught.value


def test_a_folder_with_all_parts(tmp_path):
    write(tmp_path, train=some(6), dev=some(2, 6), test=some(3, 8))
    parts = build(TextConfig(path=str(tmp_path)), seed=0)
    assert parts.train.columns == {"text": [f"text {i}" for i in range(6)], "label": list("010101")}
    assert parts.train.where(0) == f"{tmp_path / 'train.tsv'}:2"
    assert [len(parts.validation), len(parts.test)] == [2, 3]
    assert [parts.train.name, parts.validation.name, parts.test.name] == ["train", "validation", "test"]
    assert parts.decisions == []


def test_single_files_win_over_the_folder(tmp_path):
    write(tmp_path / "a", train=some(6), dev=some(2, 6))
    write(tmp_path / "b", other=some(4, 20))
    config = TextConfig(
        path=str(tmp_path / "a"), files=FilesConfig(validation=str(tmp_path / "b" / "other.tsv"))
    )
    parts = build(config, seed=0)
    assert parts.validation.columns["text"][0] == "text 20"
    assert len(parts.train) == 6


def test_path_wins_over_the_hub_and_over_bundled_rows(tmp_path):
    write(tmp_path, train=some(6), dev=some(2, 6))
    parts = build(TextConfig(path=str(tmp_path), id="owner/name"), seed=0)
    assert parts.decisions == [f"data.path={tmp_path} wins over data.id=owner/name"]
    assert len(build(TextConfig(path=str(tmp_path), bundled="reviews"), seed=0).train) == 6


def test_own_training_rows_never_meet_published_validation_rows(tmp_path):
    write(tmp_path, train=some(40))
    config = TextConfig(
        id="owner/name", files=FilesConfig(train=str(tmp_path / "train.tsv")), validation_share=0.25
    )
    parts = build(config, seed=0)
    assert [len(parts.train), len(parts.validation)] == [30, 10]
    assert parts.decisions == [
        "data.files.train is set: no rows of owner/name are used",
        "validation: 10 of 40 training rows are held out by label and content (data.validation_share=0.25)",
    ]


def test_a_share_without_need_is_said(tmp_path):
    write(tmp_path, train=some(6), dev=some(2, 6))
    parts = build(TextConfig(path=str(tmp_path), validation_share=0.5), seed=0)
    assert len(parts.train) == 6
    assert parts.decisions == [
        f"data.validation_share=0.5 is not used: {tmp_path / 'dev.tsv'} is the validation part"
    ]


def test_no_validation_part_and_no_share(tmp_path):
    write(tmp_path, train=some(6))
    error = problems(TextConfig(path=str(tmp_path)))
    assert isinstance(error, ConfigError)
    assert error.problems[0].key == "data.files.validation"
    assert "data.validation_share=0.1" in error.problems[0].hint
    assert (
        problems(TextConfig(path=str(tmp_path), validation_share=0.7)).problems[0].key
        == "data.validation_share"
    )


def test_nothing_can_be_held_out_of_one_text(tmp_path):
    write(tmp_path, train=[("same", 0), ("same", 0)])
    error = problems(TextConfig(path=str(tmp_path), validation_share=0.5))
    assert isinstance(error, DataError)


def test_limits(tmp_path):
    write(tmp_path, train=some(60), dev=some(20, 60))
    config = TextConfig(path=str(tmp_path), limit_train=10, limit_validation=500)
    parts = build(config, seed=7)
    assert [len(parts.train), len(parts.validation)] == [10, 20]
    assert parts.decisions == ["train: 10 of 60 rows drawn by seed=7 (data.limit_train=10)"]
    assert parts.train.columns == build(config, seed=7).train.columns
    assert parts.train.columns != build(config, seed=8).train.columns


def test_held_out_rows_do_not_depend_on_the_seed(tmp_path):
    write(tmp_path, train=some(60))
    config = TextConfig(path=str(tmp_path), validation_share=0.2)
    assert build(config, seed=1).validation.sha256 == build(config, seed=2).validation.sha256


def test_no_source_is_a_problem_before_anything_is_read():
    assert TextConfig(path="x").problems() == TextConfig(id="x").problems() == []
    (problem,) = TextConfig().problems()
    assert problem.key == "data.path"
    assert "data.files.train=FILE" in problem.hint
    assert problems(TextConfig()).problems == [problem]


def test_all_missing_files_are_named_at_once(tmp_path):
    write(tmp_path, train=some(4))
    files = FilesConfig(train=str(tmp_path / "tran.tsv"), validation=str(tmp_path / "dev.tsv"))
    error = problems(TextConfig(files=files))
    assert isinstance(error, SourceError)
    assert [problem.key for problem in error.problems] == ["data.files.train", "data.files.validation"]
    assert error.problems[0].hint == f"did you mean {tmp_path / 'train.tsv'}?"


def test_only_a_test_part(tmp_path):
    write(tmp_path, test=some(4))
    assert problems(TextConfig(path=str(tmp_path))).problems[0].hint == "type data.files.train=FILE"
    parts = build(TextConfig(path=str(tmp_path)), seed=0, needs_train=False)
    assert (parts.train, parts.validation, len(parts.test)) == (None, None, 4)
    files = FilesConfig(validation=str(tmp_path / "test.tsv"))
    assert len(build(TextConfig(files=files), seed=0, needs_train=False).validation) == 4


def test_missing_columns_are_named_as_they_would_be_typed(tmp_path):
    (tmp_path / "train.tsv").write_text("sentence1\tsentence2\tlabels\na\tb\t1\n")
    columns = ColumnsConfig(text="sentence", text_pair="hypothesis")
    error = problems(TextConfig(path=str(tmp_path), columns=columns, validation_share=0.1))
    assert [problem.key for problem in error.problems] == [
        "data.columns.text", "data.columns.text_pair", "data.columns.label",
    ]  # fmt: skip
    first, _, last = error.problems
    assert first.message == (
        f"{tmp_path / 'train.tsv'} has no column 'sentence'; it has sentence1, sentence2, labels"
    )
    assert first.hint in ("type data.columns.text=sentence1", "type data.columns.text=sentence2")
    assert last.hint == "type data.columns.label=labels"


@pytest.mark.parametrize(("separator", "name"), [("\t", "tab"), (";", "semicolon"), ("|", "pipe")])
def test_another_separator_is_recognised_and_said(tmp_path, separator, name):
    lines = [f'"a, ""{i}"""{separator}{i % 2}' for i in range(8)]
    (tmp_path / "train.csv").write_text("\n".join([f'"text"{separator}"label"', *lines]))
    parts = build(TextConfig(path=str(tmp_path), validation_share=0.25), seed=0)
    assert sorted(parts.train.columns["text"] + parts.validation.columns["text"]) == [
        f'a, "{i}"' for i in range(8)
    ]
    assert f"is separated by {name}s, not by commas (data.separator={name})" in parts.decisions[0]
    stated = build(TextConfig(path=str(tmp_path), validation_share=0.25, separator=separator), seed=0)
    assert stated.train.columns == parts.train.columns


def test_the_only_other_column_is_offered(tmp_path):
    (tmp_path / "train.csv").write_text("review,label\na,1\n")
    problem = problems(TextConfig(path=str(tmp_path), validation_share=0.1)).problems[0]
    assert problem.hint == "type data.columns.text=review"


def test_labels_are_needed_except_in_a_test_part(tmp_path):
    write(tmp_path, train=some(6), dev=some(2, 6))
    (tmp_path / "test.jsonl").write_text('{"text": "a"}\n')
    assert build(TextConfig(path=str(tmp_path)), seed=0).test.columns == {"text": ["a"]}
    (tmp_path / "dev.tsv").write_text("text\nb\n")
    assert problems(TextConfig(path=str(tmp_path))).problems[0].key == "data.columns.label"
    assert len(build(TextConfig(path=str(tmp_path)), seed=0, needs_label=False).validation) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "holds a number"),
        (None, "holds null"),
        (["a"], "holds a list"),
        ("\ud800", "holds half of a surrogate pair"),
    ],
)
def test_a_value_that_is_no_text_is_named_with_its_line(tmp_path, value, message):
    lines = [json.dumps({"text": text, "label": 1}) for text in ("a", value, "b")]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    problem = problems(TextConfig(path=str(tmp_path), validation_share=0.1)).problems[0]
    assert problem.key == f"{tmp_path / 'train.jsonl'}:2"
    assert message in problem.message


def test_empty_texts_are_allowed_and_counted(tmp_path):
    write(tmp_path, train=[*some(4), ("", 1), ("  ", 0)], dev=some(2))
    parts = build(TextConfig(path=str(tmp_path)), seed=0)
    assert len(parts.train) == 6
    assert parts.decisions == [
        f"train: 2 of 6 rows have an empty text, the first at {tmp_path / 'train.tsv'}:6"
    ]


def test_bundled_rows_are_found_by_name():
    problem = problems(TextConfig(bundled="../conf")).problems[0]
    assert problem.key == "data.bundled"


def test_rows_from_outside_keep_all_columns_in_order(tmp_path):
    (tmp_path / "new.csv").write_text("id,text,note\n7,NA,x\n")
    content = read_file(tmp_path / "new.csv", "--input")
    rows = as_rows(content, "new.csv", text_fields(ColumnsConfig()))
    assert list(rows.columns.items()) == [("id", ["7"]), ("text", ["NA"]), ("note", ["x"])]
    assert rows.name == "predict"
