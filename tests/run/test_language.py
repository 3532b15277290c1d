"""A language model's run from its words: every command on it, killed and resumed, with frozen blocks and adapters."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
from pathlib import Path

import pytest
import tiny_language
from children import in_child
from tiny_language import changed


@pytest.fixture
def words(tmp_path):
    return tiny_language.words(tmp_path, "gpt2", "model.dropout=0.1", "trainer.micro_batch_size=3")


def lines_of(file):
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def test_every_command_takes_it(ftcli, words, tmp_path):
    trained = ftcli("train", *words, "--run-dir", "run")
    assert trained.code == 0, trained.err
    assert "blocks of 24 tokens" in trained.out + trained.err
    result = json.loads(Path("run/result.json").read_text())
    figures = result["metrics"]
    assert figures["perplexity"] == pytest.approx(math.exp(figures["loss"]), rel=1e-6)
    evaluated = ftcli("evaluate", "run", "--json")
    assert evaluated.code == 0, evaluated.err
    scores = json.loads(evaluated.out)
    assert scores["metrics"] == figures
    assert "worst rows" in ftcli("evaluate", "run").out
    rows = tmp_path / "texts/validation.jsonl"
    predicted = ftcli("predict", "run", "--input", str(rows), "--output", "out.jsonl")
    assert predicted.code == 0, predicted.err
    lines, blocks = lines_of("out.jsonl"), lines_of("run/predictions/validation.jsonl")
    assert len(lines) == 12 < len(blocks)
    # A row's figures are the sums of its blocks.
    total = sum(line["nll"] * line["tokens"] for line in lines)
    assert total / sum(line["tokens"] for line in lines) == pytest.approx(figures["loss"], rel=1e-6)
    assert sum(line["tokens"] for line in lines) == sum(block["tokens"] for block in blocks)
    for line in lines:
        bits = line["nll"] * line["tokens"] / math.log(2) / len(line["text"].encode())
        assert line["bits_a_byte"] == pytest.approx(bits) and line["perplexity"] == pytest.approx(
            math.exp(line["nll"])
        )
    assert ftcli("verify", "run").code == 0
    compared = ftcli("compare", "run", "run")
    assert compared.code in (0, 2) and "Traceback" not in compared.err


def test_check_data_shows_what_is_learned(ftcli, words):
    done = ftcli("check-data", *words, "--json")
    assert done.code == 0, done.err + done.out
    found = {finding["name"]: finding for finding in json.loads(done.out)["findings"]}
    assert {"padding", "pad", "causal-mask", "vocabulary", "lengths", "targets"} <= found.keys()
    assert "contradictory-labels" not in found
    assert "they stand for" in found["targets"]["text"]


def test_rows_that_teach_nothing_are_found(ftcli, words, tmp_path):
    rows = tmp_path / "texts/train.jsonl"
    rows.write_text(json.dumps({"text": "!"}) + "\n" + json.dumps({"text": "?"}) + "\n")
    nothing = ("task.document_start=none", "task.document_end=none", "data.accept=[]")
    done = ftcli("check-data", *changed(words, *nothing))
    assert done.code == 3 and "no token of 2 rows is learned" in done.out + done.err


def test_empty_lines_are_left_out_and_never_held_out(ftcli, words, tmp_path):
    texts = tiny_language.texts(20)
    file = tmp_path / "lines.txt"
    file.write_text("\n".join([*texts, *["", "  "] * 20, f"good {tiny_language.END} film"]) + "\n")
    own = [word for word in words if not word.startswith("data.path=")]
    held = [f"data.files.train={file}", "data.validation_share=0.2"]
    done = ftcli("check-data", *own, *held, "--json")
    assert done.code == 0, done.out
    found = {finding["name"]: finding for finding in json.loads(done.out)["findings"]}
    assert found["empty-rows"]["level"] == "warning" and "40 of" in found["empty-rows"]["text"]
    assert "1 rows hold a special token" in found["special-tokens"]["text"]
    assert ftcli("train", *own, *held, "--run-dir", "run").code == 0
    (tmp_path / "none.txt").write_text("\n\n")
    for source, count in ((file, 61), (tmp_path / "none.txt", 2)):
        assert ftcli("predict", "run", "--input", str(source), "--output", "out.jsonl", "--force").code == 0
        lines = lines_of("out.jsonl")
        assert len(lines) == count and all(
            (line["nll"] is None) == (not line["text"].strip()) for line in lines
        )
    empty = ftcli("check-data", *own, held[0], f"data.files.validation={tmp_path / 'none.txt'}")
    assert empty.code == 3 and "the validation part has no rows that hold a text" in empty.out + empty.err


def test_steps_are_those_of_blocks_also_in_a_dry_run(ftcli, words):
    one = changed(words, "trainer.max_steps=null", "trainer.epochs=1")
    dry = ftcli("train", *one, "--dry-run", "--json")
    assert dry.code == 0, dry.err
    explained = ftcli("explain", *words)
    assert explained.code == 0, explained.err
    trained = ftcli("train", *one, "--run-dir", "run")
    assert trained.code == 0
    assert json.loads(Path("run/result.json").read_text())["steps"] == json.loads(dry.out)["total_steps"]
    assert "labels:" not in ftcli("train", *words, "--dry-run").out


def test_overfit_batch_fits_it_down_to_its_floor(ftcli, tmp_path):
    words = tiny_language.words(tmp_path, "llama", weights=False)
    done = ftcli("overfit-batch", *words, "--json")
    assert done.code == 0, done.err + done.out
    verdict = json.loads(done.out)
    # Texts that begin with other words cannot all be known from what stands before them.
    assert verdict["passed"] and 0 < verdict["floor"] <= verdict["loss"] < verdict["floor"] + 0.05
    assert 0.5 < verdict["accuracy"] < 1


@pytest.mark.parametrize("method", ["none", "lora", "prompt-tuning"])
def test_a_killed_run_ends_with_the_same_bytes(method, ftcli, words):
    more = {"none": [], "lora": ["peft.r=4"], "prompt-tuning": ["peft.num_virtual_tokens=3"]}[method]
    steps = ["trainer.max_steps=6", "trainer.save_every_n_steps=2"]
    train = ["train", *changed(words, f"peft={method}", *more, *steps)]
    assert ftcli(*train, "--run-dir", "whole").code == 0

    def killed():
        os.environ["FTCLI_CRASH_AT"] = "step:5"
        return ftcli(*train, "--run-dir", "cut").code

    assert in_child(killed) == -signal.SIGKILL
    assert ftcli("resume", "cut").code == 0
    for file in ("model", "optimizer"):
        both = [Path(run) / f"checkpoints/step-000006/{file}.safetensors" for run in ("whole", "cut")]
        assert len({hashlib.sha256(one.read_bytes()).hexdigest() for one in both}) == 1, file
    assert lines_of("whole/predictions/validation.jsonl") == lines_of("cut/predictions/validation.jsonl")


def test_cached_activations_change_nothing(ftcli, words):
    frozen = [
        "freezing=bottom-layers",
        "freezing.num_layers=1",
        "model.dropout=0",
        "trainer.max_steps=null",
        "trainer.epochs=3",
    ]
    losses, said = {}, {}
    for cache in ("auto", "off"):
        done = ftcli("train", *changed(words, *frozen, f"trainer.prefix_cache={cache}"), "--run-dir", cache)
        assert done.code == 0, done.err
        said[cache] = done.out + done.err
        losses[cache] = json.loads(Path(f"{cache}/result.json").read_text())["metrics"]["loss"]
    assert losses["auto"] == pytest.approx(losses["off"], rel=1e-4)
    assert "reads the activations of 1 block" in said["auto"] and "reads the activations" not in said["off"]


def test_only_adapters_train_beside_a_head_of_the_files(ftcli, tmp_path):
    words = tiny_language.words(tmp_path, "llama", "peft=lora", "peft.r=2")
    done = ftcli("train", *words, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert not [name for name in json.loads(done.out)["plan"]["phases"][0]["trainable"] if "lora" not in name]
    assert "the output projection with it" in done.err + ftcli("train", *words, "--dry-run").out


def test_a_folder_of_the_hub_is_scored_as_it_is(ftcli, tmp_path):
    words = tiny_language.words(tmp_path, "gpt2")
    rows = tmp_path / "texts/validation.jsonl"
    scored = ftcli("evaluate", str(tmp_path / "gpt2"), "task=causal-lm", "data=text", f"data.files.validation={rows}",
                   "trainer.precision=fp32", "--json")  # fmt: skip
    assert scored.code == 0, scored.err
    still = changed(words, "optimizer.lr=1e-30", "trainer.max_steps=1", "tokenizer.max_length=64")
    trained = ftcli("train", *still, "--run-dir", "run")
    assert trained.code == 0
    figures = json.loads(Path("run/result.json").read_text())["metrics"]
    assert json.loads(scored.out)["metrics"]["loss"] == pytest.approx(figures["loss"], rel=1e-5)
