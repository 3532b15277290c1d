"""Regressions on standardised labels: the folder gives the labels' own unit, or the run says at its start that it cannot."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tiny_exports
import tiny_models

from ftcli.hub.resolve import quiet_transformers


@pytest.fixture
def years(tmp_path):
    """Returns a function: architecture, further words -> words that train it on years, 1980 to 2007 by the last word."""
    folder = tmp_path / "years"
    folder.mkdir()
    for name, count in (("train", 30), ("validation", 10)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "year"])
            writer.writerows([f"the film {tiny_models.WORDS[11 + n % 10]}", 1980 + 3 * (n % 10)] for n in range(count))  # fmt: skip

    def words(architecture: str, *more: str) -> list[str]:
        model = tiny_exports.write_weights(tmp_path / architecture, architecture)
        own = ["model=local", f"model.path={model}", "task=regression", "data=text", f"data.path={folder}", "data.columns.label=year", "tokenizer.max_length=24",
                "trainer.batch_size=10", "optimizer.lr=1e-2", "trainer.max_steps=9", "trainer.precision=fp32", "trainer.threads=1",
                "data.accept=[duplicates,overlap,near-overlap,contradictory-labels]"]  # fmt: skip
        given = {word.partition("=")[0] for word in more}
        return [*(word for word in own if word.partition("=")[0] not in given), *more]

    return words


def predictions(run: str) -> np.ndarray:
    lines = (Path(run) / "predictions" / "validation.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["prediction"] for line in lines])


def plain_predictions(folder: str, base: Path | None = None) -> np.ndarray:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with Path("../years/validation.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    if base is None:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    else:
        from peft import PeftModel
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(folder)
        with quiet_transformers():
            plain = AutoModelForSequenceClassification.from_pretrained(base, config=config)
        model = PeftModel.from_pretrained(plain, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return np.array(
            [float(model.eval()(**tokenizer(text, return_tensors="pt")).logits) for text in texts]
        )


@pytest.mark.filterwarnings("ignore")  # peft's, of properties that transformers 5 has renamed
@pytest.mark.parametrize("method", [(), ("peft=lora", "peft.r=4")], ids=["full", "lora"])
def test_gpt2_gives_years_to_plain_libraries(method, ftcli, years, tmp_path, monkeypatch):
    """Its head has no bias: the last LayerNorm's takes the mean."""
    tiny_exports.reload_in_process(monkeypatch)
    done = ftcli("train", *years("gpt2", *method), "--run-dir", "run")
    assert done.code == 0 and "labels are standardised" in done.out and "cannot be exported" not in done.out
    found = predictions("run")
    assert 1970 < found.min() < found.max() < 2020
    done = ftcli("export", "run", "folder")
    assert done.code == 0, done.err
    base = tmp_path / "gpt2" if method else None
    np.testing.assert_allclose(plain_predictions("folder", base), found, rtol=0, atol=5e-3)
    if not method:  # trained on, it begins where it was
        more = ("model.path=folder", "trainer.max_steps=1", "optimizer.lr=1e-12")
        done = ftcli("train", *years("gpt2", *more), "--run-dir", "on")
        assert done.code == 0 and "converted to that of standardised labels" in done.out
        np.testing.assert_allclose(predictions("on"), found, rtol=0, atol=2e-2)


def test_llama_says_at_the_start_that_it_cannot_be_exported(ftcli, years):
    done = ftcli("train", *years("llama"), "--run-dir", "run")
    assert done.code == 0, done.err
    line = "this run cannot be exported: LlamaForSequenceClassification has no bias"
    assert done.out.index(line) < done.out.index("type task.standardize=false") < done.out.index("(best)")
    assert predictions("run").min() > 1970  # scored and predicted in years all the same
    done = ftcli("export", "run", "folder")
    assert done.code == 2 and "type task.standardize=false" in done.err and not Path("folder").exists()
    # What the hint says: labels near 0, learned as they are, are exported.
    more = ("task.standardize=false", "trainer.max_steps=1")
    done = ftcli("train", *years("llama", *more), "--run-dir", "plain")
    assert done.code == 0 and "cannot be exported" not in done.out
