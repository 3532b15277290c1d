"""evaluate and predict of a Hugging Face folder: its rows are named by the user, its columns too."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import tiny_models


@pytest.fixture
def folder(tmp_path) -> Path:
    """Returns a folder, its name with a space, of a classifier of 40 positions with a head for negative and positive."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    path = tiny_models.write_model(tmp_path / "my model", "bert")
    AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(path)).save_pretrained(path)
    _name_labels(path, "negative", "positive")
    tiny_models.write_rows(tmp_path / "rows")
    return path


def _name_labels(folder: Path, *names: str) -> None:
    """Writes the names of the head's labels into config.json."""
    file = folder / "config.json"
    own = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))


def test_predict_takes_other_columns_without_a_recipe(ftcli, folder):
    Path("new.csv").write_text("msg;id\nthe film was good;1\n")
    words = ["data.columns.text=msg", "--output", "-"]
    done = ftcli("predict", str(folder), "--input", "new.csv", *words)
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert list(row)[:3] == ["msg", "id", "prediction"] and row["prediction"] in ("negative", "positive")
    done = ftcli("predict", str(folder), "--input", "new.csv")
    assert done.code == 2 and "it has msg, id" in done.err and "type data.columns.text=msg" in done.err


def test_evaluate_never_takes_rows_that_nobody_named(ftcli, folder):
    done = ftcli("evaluate", str(folder))
    said = " ".join(done.err.replace("│", " ").split())
    assert done.code == 2 and "no rows are known" in said
    assert f"ftcli evaluate {shlex.quote(str(folder))} data=text data.path=DIR" in said
    done = ftcli("evaluate", str(folder), "data.columns.text=text")
    assert done.code == 2 and "no rows are known" in " ".join(done.err.replace("│", " ").split())


def test_evaluate_says_which_rows_it_scored(ftcli, folder, tmp_path):
    rows = tmp_path / "rows"
    for words in ([f"data.path={rows}"], [f"data.files.validation={rows}/validation.tsv"]):
        done = ftcli("evaluate", str(folder), "data=text", *words)
        assert done.code == 0, done.err
        assert f"data {rows}/validation.tsv" in " ".join(done.out.split())
    done = ftcli("evaluate", str(folder), "data=text", f"data.files.test={rows}/train.tsv", "--split", "test")
    assert done.code == 0, done.err
    other = tmp_path / "other.tsv"
    other.write_text((rows / "validation.tsv").read_text().replace("positive", "good"))
    done = ftcli("evaluate", str(folder), "data=text", f"data.files.validation={other}")
    assert done.code == 2 and "'good' is not one of the 2 known" in done.err


def test_rows_may_be_as_long_as_the_model_takes(ftcli, folder, tmp_path):
    """Not as the quickstart's 64 tokens: this model has 40 positions."""
    done = ftcli("evaluate", str(folder), "data=text", f"data.path={tmp_path / 'rows'}")
    assert done.code == 0 and "max_length 40" in done.out
    done = ftcli("evaluate", str(folder), "data=text", f"data.path={tmp_path / 'rows'}", "tokenizer.max_length=24")  # fmt: skip
    assert done.code == 0 and "max_length 40" not in done.out


def test_the_words_at_the_end_of_a_run_can_be_pasted(ftcli, tiny):
    words = [word for word in tiny if not word.startswith("trainer.epochs")]
    done = ftcli("train", *words, "trainer.max_steps=1", "--run-dir", "my run")
    assert done.code == 0, done.err
    line = next(line for line in done.out.splitlines() if line.startswith("next: "))
    words = shlex.split(line.removeprefix("next: "))
    assert words[:3] == ["ftcli", "evaluate", "my run"]
    assert ftcli(*words[1:3]).code == 0


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (("LABEL_0", "LABEL_1"), "data.label_names=[negative,positive]"),
        (("POSITIVE", "NEGATIVE"), "data.label_names=[positive,negative]"),
    ],
)
def test_names_that_are_not_those_of_the_rows_are_asked_for(ftcli, folder, tmp_path, names, word):
    _name_labels(folder, *names)
    words = ["evaluate", str(folder), "data=text", f"data.path={tmp_path / 'rows'}", "--json"]
    done = ftcli(*words)
    assert done.code == 2 and f"type '{word}'" in done.err
    done = ftcli(*words, word)
    assert done.code == 0, done.err
    rows = (tmp_path / "rows/validation.tsv").read_text().splitlines()[1:]
    wanted = word.partition("[")[2].rstrip("]").split(",")
    assert json.loads(done.out)["labels"] == wanted and json.loads(done.out)["rows"] == len(rows)


def test_a_head_in_another_order_is_scored_by_its_names(ftcli, folder, tmp_path):
    """Declared names say what the ids of the rows are; which output is which stands in config.json."""
    words = ["evaluate", str(folder), "data=text", f"data.path={tmp_path / 'rows'}", "--json"]
    plain = json.loads(ftcli(*words).out)["metrics"]
    done = ftcli(*words, "data.label_names=[positive,negative]")
    assert done.code == 0, done.err
    assert json.loads(done.out)["metrics"] == pytest.approx(plain)
    _name_labels(folder, "NEGATIVE", "POSITIVE")
    done = ftcli(*words, "data.label_names=[positive,negative]")
    assert json.loads(done.out)["metrics"] == pytest.approx(plain)
    assert json.loads(done.out)["labels"] == ["positive", "negative"]


def test_ids_of_rows_that_may_count_from_one_are_said(ftcli, folder, tmp_path):
    """Both of two evaluations: the second takes its tokens from the cache."""
    words = ["evaluate", str(folder), "data=text"]
    for labels, said in (((1,), True), ((0, 1), False)):
        file = tmp_path / f"ids{len(labels)}.csv"
        lines = [f"the film was good {n},{labels[n % len(labels)]}" for n in range(4)]
        file.write_text("text,label\n" + "\n".join(lines) + "\n")
        for _ in range(2):
            done = ftcli(*words, f"data.files.validation={file}")
            assert done.code == 0, done.err
            line = f"the labels of {file} are read as ids from 0, and none is 0 (negative): type task.labels_from=1"
            assert (line in done.out) == said, done.out
    done = ftcli(*words, f"data.files.validation={tmp_path / 'ids1.csv'}", "task.labels_from=1")
    assert done.code == 0 and "read as ids from 0" not in done.out
