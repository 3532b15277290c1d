"""Seeded mistakes: each is caught before step one, named with its row where a row is at fault, with a word to type."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import tiny_models
import tiny_tasks


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def rewrite(file: Path, change) -> None:
    """Changes the rows of a jsonl file: a function of (list of rows) that returns the new ones."""
    rows = change([json.loads(line) for line in lines(file)])
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")


def each(key, value, every=1, first=0):
    """Returns a change that sets a key in every n-th row from the first-th on."""

    def change(rows):
        for number in range(first, len(rows), every):
            rows[number][key] = value(rows[number]) if callable(value) else value
        return rows

    return change


def leak(folder: Path) -> None:
    train = [json.loads(line) for line in lines(folder / "train.jsonl")]
    rewrite(
        folder / "validation.jsonl",
        lambda rows: rows[2:] + [{**row, "text": row["text"].upper()} for row in train[:2]],
    )


def shift(rows):
    """The labels of the rows, one row further."""
    labels = [row["label"] for row in rows]
    for row, label in zip(rows, labels[1:] + labels[:1], strict=True):
        row["label"] = label
    return rows


def contradict(rows):
    return rows + [
        {**row, "label": "positive" if row["label"] == "negative" else "negative"} for row in rows[:4]
    ]


def alike(rows):
    """Choices that differ in their last word only."""
    for row in rows:
        stem, choice = "the film was " + "so " * 9, "the " * 9
        row["question"] = {"stem": stem, "choices": [{"text": choice + "good"}, {"text": choice + "bad"}]}
        row["label"] = "A"
    return rows


TRAIN, VALIDATION = "train.jsonl", "validation.jsonl"
CLASSES, TAGS, CHOICES = "sequence-classification", "token-classification", "multiple-choice"


def on(file, change):
    return lambda folder: rewrite(folder / file, change)


def raw(file, text):
    return lambda folder: (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())


MISTAKES = {
    # columns and files
    "wrong text column": (CLASSES, None, ["data.columns.text=sentence"], "data.columns.text", "data.columns.text="),
    "wrong label column": (CLASSES, None, ["data.columns.label=sentiment"], "data.columns.label", "data.columns.label="),
    "no second text": (CLASSES, None, ["data.columns.text_pair=other"], "data.columns.text_pair", "data.columns.text_pair="),
    "columns swapped": (CLASSES, None, ["data.columns.text=label", "data.columns.label=text"], "label of its own", "is 'text'"),
    "path into nothing": (CHOICES, None, ["data.columns.text=question.steem"], "holds null", "expected text"),
    "no choices named": (CHOICES, None, ["data.columns.choices=[]"], "data.columns.choices", "data.columns.choices="),
    "not UTF-8": (CLASSES, raw(TRAIN, b'{"text": "caf\xe9", "label": "a"}\n'), [], "train.jsonl:1", "UTF-8"),
    "not JSON": (CLASSES, raw(TRAIN, '{"text": "a", "label": "b"}\nnonsense\n'), [], "train.jsonl:2", "one object"),
    "no validation part": (CLASSES, lambda f: (f / VALIDATION).unlink(), [], "data.files.validation", "data.validation_share"),
    "text is a number": (CLASSES, on(TRAIN, each("text", 7, first=3, every=99)), [], "train.jsonl:4", "expected text"),
    # labels
    "missing label": (CLASSES, on(TRAIN, each("label", None, first=5, every=99)), [], "train.jsonl:6", "label it"),
    "unknown label": (CLASSES, on(VALIDATION, each("label", "postive", first=1, every=99)), [], "validation.jsonl:2", "positive"),
    "ids from 1": (CLASSES, on(TRAIN, each("label", lambda r: 1 + (r["label"] == "positive"))), ["data.label_names=[bad,good]"], "train.jsonl:1", "task.labels_from=1"),
    "names in two cases": (CLASSES, on(TRAIN, each("label", lambda r: r["label"].title(), every=5)), [], "label-twins", "data.accept=[label-twins]"),
    "a list as one class": (CLASSES, on(TRAIN, each("label", lambda r: str([r["label"]]))), [], "train.jsonl:1", "task=multi-label"),
    "wrong number of labels": (CLASSES, None, ["task.num_labels=5"], "task.num_labels", "task.num_labels=2"),
    "label named twice": (CLASSES, None, ["data.label_names=[positive,positive]"], "data.label_names", ""),
    "one class in training": (CLASSES, on(TRAIN, each("label", "positive")), [], "all 48 training rows", "right column"),
    "class missing in training": (CLASSES, None, ["data.label_names=[negative,positive,neutral]"], "class-missing", "data.label_names"),
    "one class in validation": (CLASSES, on(VALIDATION, each("label", "positive")), [], "one-class", "data.validation_share"),
    "fraction as class": (CLASSES, on(TRAIN, each("label", 0.5, first=2, every=99)), [], "train.jsonl:3", "whole number"),
    "contradictory labels": (CLASSES, on(TRAIN, contradict), [], "contradictory-labels", "--write-clean"),
    "number expected": ("regression", on(TRAIN, each("label", "high", first=4, every=99)), [], "train.jsonl:5", "expected a number"),
    "numbers all equal": ("regression", on(TRAIN, each("label", 3)), [], "the label 3", "right column"),
    "labels no list": ("multi-label", on(TRAIN, each("label", 2.5, first=4, every=99)), [], "train.jsonl:5", "list of labels"),
    "unknown among several": ("multi-label", on(VALIDATION, each("label", ["prais"], first=0, every=99)), [], "validation.jsonl:1", "praise"),
    "answer is no choice": (CHOICES, on(TRAIN, each("label", "Z", first=6, every=99)), [], "train.jsonl:7", "expected one of A"),
    "one choice": (CHOICES, on(TRAIN, each("question", lambda r: {**r["question"], "choices": [{"text": "a"}]}, first=6, every=99)), [], "train.jsonl:7", "at least two"),
    "tags and words differ": (TAGS, on(TRAIN, each("label", lambda r: r["label"][1:], first=2, every=99)), [], "train.jsonl:3", "a tag for each word"),
    "tags of the row before": (TAGS, on(TRAIN, shift), [], "train.jsonl:", "a tag for each word"),
    "unknown tag": (TAGS, on(VALIDATION, each("label", lambda r: ["B-god"] * len(r["label"]), first=0, every=99)), [], "validation.jsonl:1", "B-good"),
    # rows
    "leak planted": (CLASSES, leak, [], "overlap", "--write-clean"),
    "empty rows": (CLASSES, on(TRAIN, each("text", " ", every=10)), [], "empty-rows", "--write-clean"),
    "broken encoding": (CLASSES, on(TRAIN, each("text", "the cafÃ© was good", every=10)), [], "broken-encoding", "UTF-8"),
    "replacement characters": (CLASSES, on(TRAIN, each("text", lambda r: r["text"] + " caf\ufffd", every=10)), [], "broken-encoding", "UTF-8"),
    # tokenizer and lengths
    "another language": (CLASSES, on(TRAIN, each("text", lambda r: " ".join(w[::-1] + "x" for w in r["text"].split()))), [], "unknown-tokens", "tokenizer"),
    "longer than positions": (CLASSES, None, ["tokenizer.max_length=4000"], "tokenizer.max_length", "tokenizer.max_length="),
    "no room for a text": (CLASSES, None, ["tokenizer.max_length=2"], "tokenizer.max_length", "tokenizer.max_length="),
    "most rows cut off": (CLASSES, None, ["tokenizer.max_length=6"], "tokenizer.overlength", "tokenizer.overlength=truncate"),
    "one row cut off, refused": (CLASSES, on(TRAIN, each("text", "good " * 40, first=3, every=99)), ["tokenizer.overlength=error"], "train.jsonl:4", "tokenizer.max_length"),
    "choices cut to equals": (CHOICES, on(TRAIN, alike), ["tokenizer.max_length=16", "tokenizer.overlength=truncate"], "equal-choices", "tokenizer.max_length"),
    # metrics
    "metric of another kind": (CLASSES, None, ["task.metrics=[spearman]"], "task.metrics", "accuracy"),
    "no such metric": (CLASSES, None, ["task.metrics=[acuracy]"], "task.metrics", "accuracy"),
    "a figure for each label decides": (CLASSES, None, ["task.metrics=[f1@class]"], "task.metrics", "name f1 first"),
    "monitor not measured": (CLASSES, None, ["trainer.monitor=f1"], "trainer.monitor", ""),
}  # fmt: skip


def prepare(tmp_path: Path, task: str, spoil, words: list[str]) -> list[str]:
    model = tiny_models.write_model(tmp_path / "model", tiny_tasks.MODELS.get(task, "bert"))
    own = tiny_tasks.write_rows(tmp_path / "rows", task)
    if spoil is not None:
        spoil(tmp_path / "rows")
    given = {word.partition("=")[0] for word in words}
    base = ["model=local", f"model.path={model}", "model.weights=random",
            "trainer.precision=fp32", "trainer.batch_size=8", *own]  # fmt: skip
    return [*(w for w in base if w.partition("=")[0] not in given), *words]


def test_rows_without_a_mistake_hold(ftcli, tmp_path):
    for task in tiny_tasks.NAMES:
        words = prepare(tmp_path / task, task, None, [])
        done = ftcli("check-data", *words)
        assert done.code == 0, (task, done.out, done.err)
        assert "PASS" in done.out


@pytest.mark.parametrize("name", MISTAKES)
def test_caught_before_step_one(ftcli, tmp_path, name):
    task, spoil, words, said, hint = MISTAKES[name]
    typed = prepare(tmp_path, task, spoil, words)
    done = ftcli("train", *typed, "--run-dir", "run")
    assert done.code in (2, 3), done.out
    flat = " ".join(done.err.replace("│", " ").split())
    assert said in flat and hint in flat, done.err
    assert not (tmp_path / "work/run").exists() and "step 1" not in done.out
    checked = ftcli("check-data", *typed, "--json")
    assert checked.code in (2, 3)
    if checked.code == 3:
        found = json.loads(checked.out)
        errors = [f["name"] for f in found["findings"] if f["level"] == "error"]
        assert not found["holds"] and errors
        # What the contract finds has one exit code everywhere; rows that cannot be read at all are a mistake of the words.
        assert done.code == (2 if errors == ["rows"] else 3), errors


def test_there_are_forty():
    assert len(MISTAKES) >= 40


def blind(monkeypatch):
    """A BERT that looks at padding as if it were text."""
    from transformers.models.bert.modeling_bert import BertModel

    forward = BertModel.forward

    def without_mask(self, *args, attention_mask=None, **inputs):
        return forward(self, *args, **inputs)

    monkeypatch.setattr(BertModel, "forward", without_mask)


def test_a_mask_that_is_not_used(ftcli, tmp_path, monkeypatch):
    blind(monkeypatch)
    done = ftcli("train", *prepare(tmp_path, CLASSES, None, []), "--run-dir", "run")
    assert done.code == 3 and "padding changes the loss" in done.err and "learned from padding" in done.err


def test_a_decoder_that_sees_later_tokens(ftcli, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ftcli.run.data_checks.masks.is_causal", lambda config: True
    )  # what this encoder is not
    done = ftcli("check-data", *prepare(tmp_path, CLASSES, None, []), "--json")
    assert done.code == 3
    assert [f["name"] for f in json.loads(done.out)["findings"] if f["level"] == "error"] == ["causal-mask"]


@pytest.mark.parametrize("architecture", tiny_models.ARCHITECTURES)
def test_the_proofs_hold_on_every_architecture(ftcli, tmp_path, architecture):
    model = tiny_models.write_model(tmp_path / "model", architecture)
    rows = tiny_tasks.write_rows(tmp_path / "rows", CLASSES)
    done = ftcli(
        "check-data",
        "model=local",
        f"model.path={model}",
        "model.weights=random",
        *rows,
        "--json",
    )
    found = {f["name"]: f for f in json.loads(done.out)["findings"]}
    assert done.code == 0, found
    assert found["padding"]["level"] == "fact" and (architecture == "bart" or found["pad"]["level"] == "fact")
    causal = architecture in ("gpt2", "opt", "llama", "qwen2")
    assert ("causal-mask" in found) is causal
    assert ("attention" in found) is (not causal and architecture != "bart")


def test_an_accepted_finding_is_said_and_ends_nothing(ftcli, tmp_path):
    typed = prepare(tmp_path, CLASSES, leak, ["data.accept=[overlap]", "trainer.max_steps=1"])
    done = ftcli("train", *typed, "--run-dir", "run")
    assert done.code == 0 and "overlap: validation: 2 of 16 rows stand in the training part" in done.out
    refused = ftcli("train", *prepare(tmp_path / "b", CLASSES, None, ["data.accept=[leak]"]))
    assert refused.code == 2 and "there is no finding 'leak'" in refused.err


def test_rows_that_are_nearly_the_same(ftcli, tmp_path):
    text = "the film was long and dull and the plot of it was thin but the end was rather good"

    def near(folder):
        rewrite(folder / TRAIN, lambda rows: [{"text": text, "label": "positive"}, *rows])
        rewrite(
            folder / VALIDATION,
            lambda rows: [*rows, {"text": text.replace("rather", "very"), "label": "positive"}],
        )

    done = ftcli("check-data", *prepare(tmp_path, CLASSES, near, []), "--json")
    (finding,) = [f for f in json.loads(done.out)["findings"] if f["name"] == "near-overlap"]
    assert (
        done.code == 0
        and finding["where"][0].endswith("validation.jsonl:17")
        and "train.jsonl:1" in finding["text"]
    )


def test_clean_rows_are_written_and_the_others_with_their_reasons(ftcli, tmp_path):
    def spoil(folder):
        rewrite(folder / TRAIN, lambda rows: [*contradict(rows), rows[5], {"text": "", "label": "positive"}])
        leak(folder)

    typed = prepare(tmp_path, CLASSES, spoil, [])
    assert ftcli("check-data", *typed, "--write-clean", "clean.jsonl").code == 3
    work = tmp_path / "work"
    kept, rejected = (
        [json.loads(line) for line in lines(work / name)] for name in ("clean.jsonl", "clean-rejected.jsonl")
    )
    assert len(kept) + len(rejected) == 54
    reasons = {row["text"]: row["reason"] for row in rejected}
    assert set(reasons.values()) == {"same text, another label", "copy of an earlier row", "empty text"} | (
        {"stands in the validation part"} & set(reasons.values())
    )
    assert all(row["row"].rpartition(":")[0].endswith("train.jsonl") for row in rejected)
    again = [word for word in typed if not word.startswith("data.path")]
    files = ["data.files.train=clean.jsonl", f"data.files.validation={tmp_path / 'rows' / VALIDATION}"]
    assert ftcli("check-data", *again, *files).code == 0
    assert ftcli("check-data", *typed, "--write-clean", "clean.doc").code == 2
    source = tmp_path / "rows" / TRAIN
    before = source.read_bytes()
    refused = ftcli("check-data", *typed, "--write-clean", "clean.jsonl")
    assert refused.code == 2 and "clean.jsonl exists already" in refused.err and "--force" in refused.err
    (work / "clean.jsonl").unlink()
    refused = ftcli("check-data", *typed, "--write-clean", "clean.jsonl")
    assert refused.code == 2 and "clean-rejected.jsonl exists already" in refused.err
    assert ftcli("check-data", *typed, "--write-clean", "clean.jsonl", "--force").code == 3
    done = ftcli("check-data", *typed, "--write-clean", str(source), "--force")
    assert done.code == 2 and "a file the rows are read from" in done.err and source.read_bytes() == before


def test_an_example_is_shown_with_its_label(ftcli, tmp_path):
    shown = {
        task: ftcli("check-data", *prepare(tmp_path / task, task, None, [])).out for task in tiny_tasks.TASKS
    }
    assert "label: positive" in shown[CLASSES] and "[B-good]" in shown[TAGS]
    assert shown[CHOICES].count("<s> the") >= 2


def test_rows_too_long_are_left_out_of_training_where_asked(ftcli, tmp_path):
    def long(folder):
        rewrite(folder / TRAIN, each("text", lambda r: "good " * 40, first=0, every=4))

    typed = prepare(tmp_path, CLASSES, long, ["tokenizer.overlength=drop", "trainer.max_steps=2"])
    done = ftcli("train", *typed, "--run-dir", "run")
    assert done.code == 0 and "12 of 48 rows are longer than 24 tokens: they are left out" in done.out
    data = json.loads((tmp_path / "work/run/data.json").read_text())
    assert data["parts"]["train"]["rows"] == 36 and data["parts"]["train"]["rows_truncated"] == 0
    random.seed(0)
    assert ftcli("resume", "run", "trainer.max_steps=3").code == 0
