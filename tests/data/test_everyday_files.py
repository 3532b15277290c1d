"""Files as people have them: without a header, with odd names, other encodings, of other tools; read right, or answered by a word."""

import datetime
import gzip
import json
import lzma
import os
import shlex

import datasets
import pyarrow
import pytest
import tiny_models
from pyarrow import parquet

from ftcli.batching.rows import Field, Kind
from ftcli.config.overrides import parse_overrides, parse_value
from ftcli.config.schema import ColumnsConfig, FilesConfig
from ftcli.data.images import ImagesConfig
from ftcli.data.images import build as build_images
from ftcli.data.reading import read_file
from ftcli.data.text import FileFormat, TextConfig, build
from ftcli.errors import FtcliError

TEXTS = (Field("text", "text"), Field("label", "label", Kind.label))
TAGS = (Field("text", "text", Kind.texts), Field("label", "label", Kind.label))


def folder_of(tmp_path, **files):
    for name, text in files.items():
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name.replace("__", ".")).write_bytes(data)
    return str(tmp_path)


def problem(config, **options):
    with pytest.raises(FtcliError) as caught:
        (build_images if isinstance(config, ImagesConfig) else build)(config, seed=0, **options)
    return caught.value.problems[0]


def typed(hint):
    """Returns key -> value of the words that a hint says to type, as the command line reads them."""
    words = [word for word in shlex.split(hint.partition("type ")[2]) if "=" in word]
    return {one.key: parse_value(one) for one in parse_overrides(words)[0]}


COLA = (
    "gj04\t1\t\tOur friends won't buy this analysis.\ngj04\t0\t*\tThe more we study.\nbc01\t1\t\tHe left.\n"
)
NEWS = '"3","Wall St. Bears Claw Back","Short-sellers are, it seems, back"\n"2","Carlyle Looks","A private firm of some name, which"\n'
MOODS = (
    "My favourite food is anything I did not cook\t27\teebbqej\nNow he does\t2,14\ted00q6i\nNo\t27\teezlygj\n"
)


@pytest.mark.parametrize(("name", "text", "header", "first"), [
    ("train__tsv", COLA, ["column1", "label", "column3", "text"], ["gj04", "1", "", "Our friends won't buy this analysis."]),
    ("train__csv", NEWS, ["label", "column2", "text"], ["3", "Wall St. Bears Claw Back", "Short-sellers are, it seems, back"]),
    ("train__tsv", MOODS, ["text", "label", "column3"], ["My favourite food is anything I did not cook", "27", "eebbqej"]),
    ("train__tsv", "a stirring , funny film\t1\nput together from scraps\t0\n", ["text", "label"], ["a stirring , funny film", "1"]),
])  # fmt: skip
def test_a_file_without_a_header_is_answered_by_names_for_its_columns(tmp_path, name, text, header, first):
    path = folder_of(tmp_path, **{name: text, name.replace("train", "dev"): text})
    found = problem(TextConfig(path=path))
    assert found.key == "data.header" and "seems to have no header" in found.message
    assert typed(found.hint) == {"data.header": header}
    rows = build(TextConfig(path=path, header=header), seed=0).train
    assert [rows.columns[column][0] for column in header] == first
    assert len(rows) == text.count("\n") and rows.where(0).endswith(":1")
    # Naming cells of the first row as columns is no way around it.
    columns = ColumnsConfig(text=first[header.index("text")], label=first[header.index("label")])
    assert typed(problem(TextConfig(path=path, columns=columns)).hint).keys() == {"data.header"}


def test_a_file_that_has_the_names_of_data_header_keeps_its_own_header(tmp_path):
    path = folder_of(tmp_path, train__csv="good film,1\nbad film,0\n", dev__csv="label,text\n1,fine\n")
    parts = build(TextConfig(path=path, header=["text", "label"]), seed=0)
    assert parts.train.columns == {"text": ["good film", "bad film"], "label": ["1", "0"]}
    assert parts.validation.columns == {"label": ["1"], "text": ["fine"]}
    found = problem(TextConfig(path=path, header=["text", "label", "note"]))
    assert found.message == "2 fields where data.header names 3"


@pytest.mark.parametrize("header", ["0,1", "title,2018,2019", "What do you think of our new film,score"])
def test_names_that_look_like_values_are_still_names(tmp_path, header):
    path = folder_of(
        tmp_path, train__csv=f"{header}\n" + ("a b,c,d\n" if header.count(",") > 1 else "a b,c\n")
    )
    assert problem(TextConfig(path=path, validation_share=0.5)).key == "data.columns.text"


@pytest.mark.parametrize("name", [" label", "a,b", "label[0]", "x=y", "the label", "Ä", 'say "x"', "it's"])
def test_a_column_of_any_name_can_be_typed_as_the_hint_says(tmp_path, name):
    quoted = '"' + name.replace('"', '""') + '"'
    path = folder_of(tmp_path, train__csv=f"text,{quoted}\na film,1\nb,0\n", dev__csv=f"text,{quoted}\nc,1\n")
    found = problem(TextConfig(path=path))
    assert typed(found.hint) == {"data.columns.label": name}
    columns = ColumnsConfig(label=typed(found.hint)["data.columns.label"])
    assert build(TextConfig(path=path, columns=columns), seed=0).train.columns[name] == ["1", "0"]


def test_other_column_names_are_answered_by_the_columns_that_look_right(tmp_path):
    """The longest texts, and few values; where no column can be a label, none is guessed."""
    rows = "".join(
        f"{i}\tthe meal was {i} times good\t{'pos' if i % 2 else 'neg'}\t['one', 'list', 'of', 'several', 'notes']\n"
        for i in range(8)
    )
    folder = folder_of(tmp_path, train__tsv="nr\tmsg\tmood\tnotes\n" + rows)
    with pytest.raises(FtcliError) as caught:
        build(TextConfig(path=folder), seed=0, fields=TEXTS)
    hints = [problem.hint for problem in caught.value.problems]
    assert hints == ["type data.columns.text=msg", "type data.columns.label=mood"]
    folder = folder_of(tmp_path, train__tsv="nr\tmsg\n" + "".join(f"{i}\tgood {i}\n" for i in range(8)))
    with pytest.raises(FtcliError) as caught:
        build(TextConfig(path=folder), seed=0, fields=TEXTS)
    hints = [problem.hint for problem in caught.value.problems]
    assert hints == [
        "type data.columns.text=msg",
        "type data.columns.label=NAME with the name of its column",
    ]


def test_a_blank_line_is_called_one(tmp_path):
    path = folder_of(tmp_path, train__csv="text,label,,\na,1,,\n\nb,0,,\n")
    found = problem(TextConfig(path=path, validation_share=0.5))
    assert found.key.endswith("train.csv:3") and found.message == "is a blank line, where the header has 4"


def test_a_utf8_file_is_not_read_as_another_encoding(tmp_path):
    path = folder_of(
        tmp_path, train__csv="text,label\ncafé,1\nthé,0\n".encode("cp1252"), dev__csv="text,label\ncafé,1\n"
    )
    parts = build(TextConfig(path=path, encoding="cp1252"), seed=0)
    assert parts.train.columns["text"] == ["café", "thé"] and parts.validation.columns["text"] == ["café"]
    assert parts.decisions == [
        f"validation: {path}/dev.csv is UTF-8 and is read so; data.encoding=cp1252 is for other files"
    ]


def test_words_that_no_file_can_be_read_by_are_refused_before_reading(tmp_path):
    config = TextConfig(path="x", encoding="utf8mb4", separator="ab", header=["a", "a"], tag_field=0)
    assert [found.key for found in config.problems()] == [
        "data.encoding", "data.separator", "data.tag_field", "data.header",
    ]  # fmt: skip
    assert config.problems()[0].hint == "did you mean utf-8?"
    assert TextConfig(path="x", encoding="rot13").problems()[0].key == "data.encoding"


def test_data_format_does_not_override_a_name_that_says_otherwise(tmp_path):
    row = '{"text": ["new", "york"], "label": ["O", "B-LOC"]}\n'
    path = folder_of(tmp_path, train__jsonl=row, dev__txt="a O\nb B-LOC\n")
    parts = build(TextConfig(path=path, format=FileFormat.conll), seed=0, fields=TAGS)
    assert parts.train.columns == {"text": [["new", "york"]], "label": [["O", "B-LOC"]]}
    assert parts.validation.columns == {"text": [["a", "b"]], "label": [["O", "B-LOC"]]}
    assert parts.decisions == [
        f"train: {path}/train.jsonl is read as jsonl, as its name says; data.format=conll is for other files"
    ]
    text = problem(TextConfig(files=FilesConfig(train=f"{path}/dev.txt"), validation_share=0.5), fields=TAGS)
    assert "type data.format=conll" in text.hint


def test_a_missing_training_part_is_answered_by_what_may_be_one(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    path = folder_of(
        folder,
        test__tsv="text\tlabel\na\t1\n",
        in_domain_train__tsv="",
        in_domain_dev__tsv="",
        README__txt="x",
    )
    words = {
        "data.files.train": f"{path}/in_domain_train.tsv",
        "data.files.validation": f"{path}/in_domain_dev.tsv",
    }
    assert typed(problem(TextConfig(path=path)).hint) == words
    (folder / "test.tsv").unlink()
    assert typed(problem(TextConfig(path=path)).hint) == words
    for file in folder.iterdir():
        file.unlink()
    (folder / "test.tsv").write_text("text\tlabel\na\t1\n")
    assert problem(TextConfig(path=path)).hint == "type data.files.train=FILE"


def test_folders_of_save_to_disk(tmp_path, capfd):
    kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    rows = {"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]}
    one = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    one.shuffle(seed=1).save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": one, "validation": one}).save_to_disk(tmp_path / "both")
    capfd.readouterr()
    parts = build(TextConfig(path=str(tmp_path / "both")), seed=0)
    assert parts.train.columns == rows and len(parts.validation) == 4
    assert parts.train.class_names == ["no", "yes"]
    shuffled = build(TextConfig(path=str(tmp_path / "one"), validation_share=0.5), seed=0)
    assert sorted(shuffled.train.columns["text"] + shuffled.validation.columns["text"]) == [
        "a",
        "b",
        "c",
        "d",
    ]
    assert capfd.readouterr() == ("", "")
    (tmp_path / "both" / "train" / "state.json").write_text("{")
    assert "no data set of save_to_disk" in problem(TextConfig(path=str(tmp_path / "both"))).message


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "train.csv")
    for place, what in (("/dev/zero", "a device"), (f"{tmp_path}/train.csv", "a pipe")):
        found = problem(TextConfig(files=FilesConfig(train=place), validation_share=0.5))
        assert found.key == "data.files.train" and f"it is {what}, not a file" in found.message


def test_a_run_without_header_predicts_files_with_and_without_one(ftcli, tmp_path):
    model = tiny_models.write_model(tmp_path / "model", "bert")
    words = ["the film was good", "the film was bad", "the plot was good", "the end was bad"]
    text = "".join(f"{words[i % 4]} {'the ' * (i // 4)};{'ab'[i % 2]}\n" for i in range(16))
    path = folder_of(tmp_path, train__csv=text, dev__csv=text, new__csv="id;text\n7;the film was good\n")
    typed = ["model=local", f"model.path={model}", "model.weights=random", "data=text", f"data.path={path}",
             "tokenizer.max_length=24", "trainer.max_steps=1", "data.accept=[overlap]"]  # fmt: skip
    refused = ftcli("train", *typed, "--run-dir", "run")
    assert refused.code == 2 and "'data.header=[text,label]'" in refused.err
    done = ftcli("train", *typed, "data.header=[text,label]", "--run-dir", "run")
    assert done.code == 0 and "is separated by semicolons" in done.out, done.err
    assert ftcli("predict", "run", "--input", f"{path}/dev.csv", "--output", "out.jsonl").code == 0
    rows = [json.loads(line) for line in (tmp_path / "work" / "out.jsonl").read_text().splitlines()]
    assert [f"{row['text']};{row['label']}\n" for row in rows] == text.splitlines(keepends=True)
    done = ftcli("predict", "run", "--input", f"{path}/new.csv", "--output", "new.jsonl")
    assert "is separated by semicolons" in done.out + done.err
    (row,) = [json.loads(line) for line in (tmp_path / "work" / "new.jsonl").read_text().splitlines()]
    assert (row["id"], row["text"]) == ("7", "the film was good")
    assert json.loads((tmp_path / "work/run/data.json").read_text())["reading"][0].startswith("train: ")


def test_columns_of_any_type_are_read_where_a_task_asks_and_kept_where_not(tmp_path):
    table = pyarrow.table({
        "text": ["a", "b", "c", "d"],
        "label": pyarrow.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]),
        "image": [b"\x00", b"\xff", b"", None],
        "day": [datetime.date(2024, 1, i) for i in range(1, 5)],
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "train.parquet")
    fields = (Field("text", "text"), Field("label", "label", Kind.label))
    config = TextConfig(path=str(tmp_path), validation_share=0.5)
    rows = build(config, seed=0, fields=fields).train
    expected = [table.to_pylist()["abcd".index(text)] for text in rows.columns["text"]]
    assert isinstance(rows.columns["label"], list)  # a task reads it: plain values
    for name in table.column_names:
        assert list(rows.columns[name]) == [row[name] for row in expected]
    days = (Field("text", "day"), Field("label", "label", Kind.label))
    assert problem(config, fields=days).message == "the column 'day' holds a date"


def test_columns_that_nobody_asks_for_are_never_read(tmp_path):
    file = tmp_path / "train.parquet"
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "image": [b"x" * 1000] * 2}), file)
    whole = read_file(file, "k")
    file.unlink()
    assert whole.columns["text"] == ["a", "b"] and len(whole.columns["image"]) == 2
    with pytest.raises(FtcliError, match="No such file"):
        list(whole.columns["image"])


@pytest.mark.parametrize(("name", "data", "said", "hint"), [
    ("train__csv", gzip.compress(b"text,label\na,1\n", mtime=0), "is not UTF-8", "add .gz to its name"),
    ("train__csv", b"PK\x03\x04sheet\xff", "is not UTF-8", "save a spreadsheet as csv"),
    ("train__csv__gz", b"text,label\na,1\n", "cannot be read", "take the suffix off its name"),
    ("train__csv__xz", lzma.compress(b"text,label\na,1\n")[:-9], "cannot be read", "fetch the file again"),
    ("train__csv", b"<!DOCTYPE html>\n<html>", "is a web page", "fetch it again"),
    ("train__parquet", b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS", "type git lfs pull"),
    ("train__tsv", b"text,label\na,1\n", "has no column 'text'", "type data.separator=comma"),
    ("train__csv", b'label, text\n1, "a, b"\n', "has a space before a quote", "remove the spaces"),
])  # fmt: skip
def test_a_file_that_is_not_what_its_name_says(tmp_path, name, data, said, hint):
    found = problem(TextConfig(path=folder_of(tmp_path, **{name: data}), validation_share=0.5))
    assert said in found.message and hint in found.hint


def test_a_first_line_may_name_the_separator_for_excel(tmp_path):
    path = folder_of(tmp_path, train__csv="sep=|\r\ntext|label\r\na, b|1\r\nc|1\r\n")
    rows = build(TextConfig(path=path, validation_share=0.5), seed=0)
    assert sorted(rows.train.columns["text"] + rows.validation.columns["text"]) == ["a, b", "c"]
    assert rows.decisions[0].endswith("train.csv is separated by '|', as its first line says")
    assert {rows.train.place(0)["line"], rows.validation.place(0)["line"]} == {3, 4}


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "~nobody-of-this-name/x", "/dev/null"])
def test_paths_that_cannot_be(path):
    for config in (TextConfig(path=path), TextConfig(files=FilesConfig(train=path)), ImagesConfig(path=path)):
        assert problem(config).key in ("data.path", "data.files.train")
