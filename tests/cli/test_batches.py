"""Token budgets and pieces from their words: counted before anything starts, refused where they mean nothing."""

import json
import re
from pathlib import Path

import pytest
import tiny_tasks
import torch


@pytest.fixture
def words(tiny):
    """Words of a run without a stated batch size."""
    return [word for word in tiny if not word.startswith("trainer.batch_size")]


def test_a_dry_run_counts_the_steps_that_the_run_takes(ftcli, words, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = ftcli("train", *words, "trainer.token_budget=64", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert sorted(tmp_path.rglob("*")) == before
    counted = json.loads(done.out)
    done = ftcli("train", *words, "trainer.token_budget=64", "scheduler.warmup=1ep", "--run-dir", "run")
    assert done.code == 0, done.err
    result = json.loads(Path("run/result.json").read_text())
    assert (
        result["steps"] == counted["total_steps"] == 2 * counted["steps_per_epoch"] and result["epochs"] == 2
    )
    assert "trainer.token_budget=64 " in Path("run/command.txt").read_text()
    batches = json.loads(Path("run/data.json").read_text())["batches"]
    assert batches == {"token_budget": 64, "steps_per_epoch": counted["steps_per_epoch"], "rows_per_step": counted["rows_per_step"]}  # fmt: skip
    assert result["train"]["rows_per_step"] == 48 / counted["steps_per_epoch"]
    printed = re.search(r"48 rows / batches of at most 64 padded tokens, whatever .* = (\d+) steps an epoch of ([\d.]+) rows", done.out)  # fmt: skip
    assert int(printed[1]) == counted["steps_per_epoch"] and printed[2] == f"{counted['rows_per_step']:.1f}"
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [e["epoch"] for e in lines if e["event"] == "eval"] == [1.0, 2.0]


@pytest.mark.parametrize("task", [name for name in tiny_tasks.NAMES if name != "image-classification"])
def test_every_task_of_texts_trains_within_a_budget(ftcli, tiny, tmp_path, task):
    rows = tiny_tasks.write_rows(tmp_path / "task-rows", task)
    own = [
        w
        for w in tiny
        if w.split("=")[0] not in ("data", "data.path", "tokenizer.max_length", "trainer.batch_size")
    ]
    done = ftcli("train", *own, *rows, "trainer.token_budget=200", "trainer.micro_batch_size=2", "trainer.max_steps=3",
                 "data.accept=[overlap,balance,truncation]", "tokenizer.overlength=truncate", "--run-dir", "run")  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(Path("run/result.json").read_text())["steps"] == 3


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (["trainer.token_budget=0"], "expected at least 1"),
        (["trainer.token_budget=many"], "expected a whole number or null"),
        (["trainer.token_budget=5"], "type trainer.token_budget="),
        (["trainer.token_budget=64", "trainer.batch_size=8"], "leave it out, or type trainer.token_budget=null"),
        (["trainer.token_budget=64", "optimizer.scale_lr=true"], "type optimizer.lr="),
        (["trainer.token_budget=64", "data=images", "task=image-classification", "tokenizer=processor"], "type trainer.batch_size=N"),
        (["trainer.micro_batch_size=many"], "expected a whole number, auto or null"),
        (["trainer.micro_batch_size=true"], "expected a whole number, auto or null"),
        (["trainer.micro_batch_size=0"], "expected at least 1"),
    ],
)  # fmt: skip
def test_refused(ftcli, words, own, said):
    done = ftcli("train", *[word for word in words if word != "data=text" or "data=images" not in own], *own)
    assert done.code == 2 and said in done.err, done.err
    assert not Path("runs").exists()


def test_check_data_refuses_the_rows_that_training_would(ftcli, words):
    done = ftcli("check-data", *words, "trainer.token_budget=2")
    assert done.code == 2 and "trainer.token_budget" in done.err and "by itself" in done.err


def test_a_recipes_batch_size_gives_way(ftcli, words):
    done = ftcli("train", *words, "recipe=sst2-full", "data.id=null", "trainer.token_budget=64", "--dry-run")
    assert done.code == 0 and "whatever trainer.batch_size says" in done.out, done.err


def test_explain_and_overfit_batch_take_a_budget(ftcli, words):
    done = ftcli("explain", *words, "trainer.token_budget=100", "--probe")
    assert done.code == 0 and "ftcli train --dry-run counts the steps" in done.out, done.err
    assert "memory in MiB, 4 rows of 24 tokens" in done.out
    done = ftcli(
        "overfit-batch",
        *words,
        "seed=3",
        "trainer.token_budget=100",
        "trainer.micro_batch_size=auto",
        "--json",
    )
    assert done.code == 0, done.err


def test_a_run_that_ran_out_of_memory_is_resumed_in_its_pieces(ftcli, words, monkeypatch):
    """Found splits are in pieces.json; the resume reads them and searches nothing again."""
    from transformers import BertForSequenceClassification

    forward = BertForSequenceClassification.forward

    def short(self, input_ids=None, **inputs):
        if self.training and len(input_ids) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, input_ids=input_ids, **inputs)

    own = [*words, "trainer.batch_size=8", "trainer.micro_batch_size=auto", "logger=jsonl"]
    with monkeypatch.context() as patch:
        patch.setattr(BertForSequenceClassification, "forward", short)
        done = ftcli("train", *own, "--run-dir", "run")
    assert done.code == 0 and "4 rows a pass" in done.out, done.err
    splits = json.loads(Path("run/pieces.json").read_text())["splits"]
    assert [(s["step"], s["parts"], s["why"]) for s in splits] == [(0, 1, "auto"), (0, 2, "out of memory")]
    assert ftcli("resume", "run", "trainer.epochs=3").code == 0
    assert json.loads(Path("run/pieces.json").read_text())["splits"] == splits
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [e["parts"] for e in lines if e["event"] == "split"] == [1, 2]
    assert ftcli("resume", "run", "trainer.token_budget=64").code == 2
