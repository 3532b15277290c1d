from pathlib import Path

import pytest

from ftcli.data.splits import find_parts, match_splits
from ftcli.errors import DataError, FtcliError, SourceError


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text\tlabel\na\t1\n")
    return folder


def found(folder, subset=None):
    parts = find_parts(str(folder), subset)
    return {part: [str(file.relative_to(folder)) for file in files] for part, files in parts.items()}


def problem(error, folder, subset=None):
    with pytest.raises(error) as caught:
        find_parts(str(folder), subset)
    return caught.value.problems[0]


@pytest.mark.parametrize("name", ["validation.tsv", "valid.csv", "val.json", "dev.jsonl"])
def test_parts_are_found_by_name(tmp_path, name):
    fill(tmp_path, "train.tsv", name, "test.parquet", "README.md", "train.txt", "dev_extra.tsv", ".train.tsv")
    assert found(tmp_path) == {"train": ["train.tsv"], "validation": [name], "test": ["test.parquet"]}


def test_shards_in_order(tmp_path):
    shards = [f"data/train-0000{i}-of-00003.parquet" for i in range(3)]
    fill(tmp_path, *reversed(shards), "data/test-00000-of-00001.parquet", "README.md")
    assert found(tmp_path) == {"train": shards, "test": ["data/test-00000-of-00001.parquet"]}


def test_the_folder_itself_comes_before_data_and_subset(tmp_path):
    fill(tmp_path, "rte/train.tsv", "mnli/train.tsv")
    assert found(tmp_path, "rte") == {"train": ["rte/train.tsv"]}
    fill(tmp_path, "data/train.tsv")
    assert found(tmp_path, "rte") == {"train": ["data/train.tsv"]}
    fill(tmp_path, "train.tsv")
    assert found(tmp_path, "rte") == {"train": ["train.tsv"]}


@pytest.mark.parametrize("names", [("dev.tsv", "validation.tsv"), ("dev.csv", "dev.tsv")])
def test_two_candidates_are_both_named(tmp_path, names):
    fill(tmp_path, "train.tsv", *names)
    caught = problem(DataError, tmp_path)
    assert caught.message == f"{tmp_path} holds {names[0]} and {names[1]}: which one is the validation part?"
    assert caught.hint == f"type data.files.validation={tmp_path / names[0]}"


def test_missing_shards(tmp_path):
    fill(tmp_path, "train-00000-of-00003.parquet", "train-00002-of-00003.parquet")
    assert problem(DataError, tmp_path).message == "2 of the 3 shards train-* are there"


def test_a_folder_without_parts_says_what_it_holds(tmp_path):
    fill(tmp_path, "rows.csv", "notes.md")
    caught = problem(SourceError, tmp_path)
    assert caught.key == "data.path"
    assert caught.message.endswith("it holds notes.md, rows.csv")
    assert caught.hint == f"type data.files.train={tmp_path / 'rows.csv'}"
    (tmp_path / "empty").mkdir()
    assert problem(SourceError, tmp_path / "empty").message.endswith("it holds nothing")


def test_no_such_folder_and_a_file(tmp_path):
    fill(tmp_path, "sst2/train.tsv")
    assert problem(SourceError, tmp_path / "sst3").hint == f"did you mean {tmp_path / 'sst2'}?"
    file = tmp_path / "sst2" / "train.tsv"
    assert problem(SourceError, file).hint == f"type data.files.train={file}"


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path, "rows/train.tsv")
    assert find_parts("~/rows")["train"] == [Path(tmp_path / "rows" / "train.tsv")]


def test_splits_of_the_hub():
    assert match_splits(["train", "validation", "test"], "x") == {
        p: p for p in ("train", "validation", "test")
    }
    assert match_splits(["train", "dev", "unsupervised"], "x") == {"train": "train", "validation": "dev"}
    with pytest.raises(FtcliError, match="x holds dev and validation: which one"):
        match_splits(["train", "dev", "validation"], "x")
    with pytest.raises(FtcliError, match="x has no train split; it has all"):
        match_splits(["all"], "x")
