"""An installed package adds a task in one file and a YAML: every command works on it, and nothing of ftcli is edited.

The task is a language model, whose rows, labels, head and outputs are like those of no task of ftcli.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import tiny_models

PACKAGE = Path(__file__).parents[1] / "support" / "next_token_plugin"
FIRST, LAST = tiny_models.WORDS[2:10], tiny_models.WORDS[11:19]


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A distribution folder with entry points, as pip would leave it, first on the path."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / "nexttokens", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "nexttokens-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nexttokens\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ftcli.task]\nnext-token = nexttokens.next_token\n[ftcli.conf]\nnexttokens = nexttokens\n"
    )
    monkeypatch.syspath_prepend(str(site))
    from ftcli.config import registry

    yield
    registry._ENTRIES.pop(("task", "next-token"), None)
    for name in [name for name in sys.modules if name.startswith("nexttokens")]:
        del sys.modules[name]


@pytest.fixture
def words(plugin, tmp_path):
    """Overrides of a tiny GPT-2 on texts whose next word follows from the words before."""
    model = tiny_models.write_model(tmp_path / "model", "gpt2")
    rows = tmp_path / "rows"
    rows.mkdir()
    # The first word of a text decides all others, so that a batch can be fitted to a loss of 0.
    texts = [f"{first} and {last} again" for first, last in zip(FIRST, LAST, strict=True)]
    for name, own in (("train", texts), ("validation", [f"the {text}" for text in texts])):
        lines = [json.dumps({"text": text}) for text in own]
        (rows / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return ["task=next-token", "model=local", f"model.path={model}", "model.weights=random", "model.dropout=0", "data=text",
            f"data.path={rows}", "tokenizer.max_length=16", "trainer.batch_size=4", "trainer.precision=fp32",
            "optimizer.lr=1e-2", "data.accept=[near-overlap,overlap]"]  # fmt: skip


def trained(ftcli, words, *more):
    done = ftcli("train", *words, "trainer.max_steps=6", *more, "--run-dir", "run")
    assert done.code == 0, done.err
    return json.loads(Path("run/result.json").read_text())


def test_it_trains_evaluates_and_predicts(ftcli, words, tmp_path):
    metrics = trained(ftcli, words)["metrics"]
    assert metrics["loss"] > 0 and 0 <= metrics["accuracy"] <= 1
    again = ftcli("evaluate", "run", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["metrics"] == pytest.approx(metrics, rel=1e-6)
    done = ftcli(
        "predict", "run", "--input", str(tmp_path / "rows/validation.jsonl"), "--output", "out.jsonl"
    )
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(lines) == 8 and all(0 <= line["probability"] <= 1 for line in lines)


def test_overfit_batch_fits_it(ftcli, words):
    done = ftcli("overfit-batch", *words, "--json")
    assert done.code == 0, done.err + done.out
    verdict = json.loads(done.out)
    assert verdict["passed"] and verdict["accuracy"] == 1.0, verdict


def test_explain_and_check_data_take_it(ftcli, words):
    explained = ftcli("explain", *words, "--json")
    assert explained.code == 0, explained.err
    assert json.loads(explained.out)["phases"]
    checked = ftcli("check-data", *words, "--json")
    assert checked.code == 0, checked.err + checked.out
    names = {finding["name"] for finding in json.loads(checked.out)["findings"]}
    assert {"padding", "pad", "causal-mask", "vocabulary", "lengths"} <= names


@pytest.fixture
def pretrained(words, tmp_path):
    """The overrides with trained weights in the model's folder, which an export of adapters needs."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path / "model"
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return [word for word in words if not word.startswith("model.weights=")]


@pytest.mark.parametrize("method", ["none", "lora", "prompt-tuning"])
def test_its_runs_are_exported_and_their_card_says_what_they_are(ftcli, pretrained, method, monkeypatch):
    from tiny_exports import reload_in_process

    reload_in_process(monkeypatch)
    more = ["peft.num_virtual_tokens=3"] if method == "prompt-tuning" else []
    trained(ftcli, pretrained, f"peft={method}", *more)
    done = ftcli("export", "run", "out", "--json")
    assert done.code == 0, done.err + done.out
    result = json.loads(done.out)
    assert result["auto_class"] == "AutoModelForCausalLM"
    assert all(one["worst"] <= one["tolerance"] and one["compared"] for one in result["passes"])
    card = Path("out/README.md").read_text()
    assert "Outputs, in order" not in card and "It knows the outputs" not in card
    assert 'pipeline_tag: "text-generation"' in card and "AutoModelForCausalLM.from_pretrained" in card
    if method != "none":
        assert json.loads(Path("out/adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"
