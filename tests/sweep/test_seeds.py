"""Several seeds: a run each under one parent, and their ensemble as one predictor."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import tiny_tasks

from ftcli.config.compose import load
from ftcli.errors import ConfigError


def lines(file: str) -> list[dict]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def words_for(tmp_path, task):
    model = tiny_models.write_model(tmp_path / "model", tiny_tasks.MODELS.get(task, "bert"))
    rows = tiny_tasks.write_rows(tmp_path / "rows", task)
    return ["model=local", f"model.path={model}", "model.weights=random", "logger=jsonl",
            "trainer.batch_size=8", "trainer.precision=fp32", "trainer.max_steps=4", "optimizer.lr=3e-3", *rows]  # fmt: skip


def scored_again(run: str) -> list[dict]:
    """Returns the lines of a predictions file, of the members loaded as models."""
    from ftcli.inference.load import load_run
    from ftcli.inference.score import score_part
    from ftcli.run.run_dir import RunDir

    loaded = load_run(RunDir(Path(run)), "best", [], with_rows=True)
    table, scores = score_part(loaded, "validation")
    rows = loaded.inputs.splits.validation
    return [loaded.inputs.task.prediction_row(r, table, rows, n) for n, r in enumerate(scores.records)]


@pytest.mark.parametrize("task", tiny_tasks.NAMES)
def test_the_ensemble_is_the_mean_of_its_members(ftcli, tmp_path, task):
    words = words_for(tmp_path, task)
    done = ftcli("train", *words, "seeds=[1,2,3]", "--run-dir", "run")
    assert done.code == 0, done.err
    members = [lines(f"run/seed-{seed}/predictions/validation.jsonl") for seed in (1, 2, 3)]
    whole = lines("run/predictions/validation.jsonl")
    for row, one in enumerate(whole):
        found = [m[row] for m in members]
        assert one["label"] == found[0]["label"]
        if task == "regression":
            assert one["prediction"] == pytest.approx(np.mean([f["prediction"] for f in found]), abs=1e-5)
        elif task not in ("token-classification", "extractive-qa"):
            for name, value in one["probabilities"].items():
                assert value == pytest.approx(np.mean([f["probabilities"][name] for f in found]), abs=1e-5)
    result = json.loads(Path("run/result.json").read_text())
    # The members' files have what the mean takes, but for words and answers, of which they hold the best alone.
    assert ("scored with the models" in done.out) == (task in ("token-classification", "extractive-qa"))
    own = {str(s): json.loads(Path(f"run/seed-{s}/result.json").read_text())["metrics"] for s in (1, 2, 3)}
    assert result["members"] == own and result["seeds"] == [1, 2, 3]
    for name, value in result["mean"].items():
        values = [one[name] for one in own.values()]
        assert math.isclose(value, np.mean(values), rel_tol=1e-9) or math.isnan(value)
        assert np.isclose(result["standard_deviation"][name], np.std(values, ddof=1), equal_nan=True)
    again = json.loads(ftcli("evaluate", "run", "--json").out)
    assert again["metrics"] == pytest.approx(result["metrics"], nan_ok=True) and "3 members" in again["model"]
    for row, line in zip(scored_again("run"), whole, strict=True):
        for name, value in row.items():
            close = isinstance(value, dict | float) or name == "probabilities"
            assert line[name] == (pytest.approx(value, abs=1e-6) if close else value)
    done = ftcli(
        "predict", "run", "--input", str(tmp_path / "rows/validation.jsonl"), "--output", "out.jsonl"
    )
    assert done.code == 0 and len(lines("out.jsonl")) == 16


def test_members_differ_by_their_seed_alone_and_share_the_rows_of_a_limit(ftcli, tmp_path):
    words = words_for(tmp_path, "sequence-classification")
    limits = ["data.limit_train=20", "data.limit_validation=9"]
    assert ftcli("train", *words, *limits, "seed=5", "num_seeds=2", "--run-dir", "run").code == 0
    shas = {
        json.loads(Path(f"run/seed-{s}/data.json").read_text())["parts"]["validation"]["sha256"]
        for s in (5, 6)
    }
    assert len(shas) == 1
    assert ftcli("train", *words, *limits, "seed=6", "data.seed=5", "--run-dir", "alone").code == 0
    command = Path("run/seed-6/command.txt").read_text().split()
    assert "seed=6" in command and "data.seed=5" in command and "num_seeds=2" not in command
    assert ftcli(*command[1:], "--run-dir", "typed").code == 0
    assert lines("typed/predictions/validation.jsonl") == lines("run/seed-6/predictions/validation.jsonl")
    one, other = (lines(f"{run}/predictions/validation.jsonl") for run in ("run/seed-6", "alone"))
    assert one == other


def test_a_stopped_ensemble_goes_on_with_what_is_missing(ftcli, tmp_path):
    words = words_for(tmp_path, "sequence-classification")
    assert ftcli("train", *words, "seeds=[1,2]", "--run-dir", "run").code == 0
    before = lines("run/predictions/validation.jsonl")
    kept = Path("run/seed-1/metrics.jsonl").stat().st_mtime_ns
    shutil.rmtree("run/seed-2")
    Path("run/result.json").unlink()
    assert ftcli("resume", "run").code == 0
    assert lines("run/predictions/validation.jsonl") == before
    assert Path("run/seed-1/metrics.jsonl").stat().st_mtime_ns == kept
    assert ftcli("train", *words, "seeds=[1,2]", "--run-dir", "run", "--resume").code == 0


def test_an_ensemble_of_finished_members_loads_no_model(ftcli, tmp_path, monkeypatch):
    words = words_for(tmp_path, "sequence-classification")
    assert ftcli("train", *words, "seeds=[1,2]", "--run-dir", "run").code == 0
    before = [Path("run", name).read_bytes() for name in ("predictions/validation.jsonl", "data.json")]
    Path("run/result.json").unlink()

    def load(*_, **__):
        raise AssertionError("a model was loaded")

    with monkeypatch.context() as patch:
        patch.setattr("ftcli.inference.load.load_run", load)
        assert ftcli("resume", "run").code == 0
    assert before == [
        Path("run", name).read_bytes() for name in ("predictions/validation.jsonl", "data.json")
    ]


@pytest.mark.parametrize("damage", [lambda text: text[:40], lambda text: text.partition("\n")[2], lambda text: "[]\n",
                                    lambda text: text.replace('"label": "positive"', '"label": "negative"'),
                                    lambda text: text.replace("probabilities", "chances")])  # fmt: skip
def test_a_members_damaged_predictions_are_no_part_of_an_ensemble(ftcli, tmp_path, damage):
    words = words_for(tmp_path, "sequence-classification")
    assert ftcli("train", *words, "seeds=[1,2]", "--run-dir", "run").code == 0
    before = lines("run/predictions/validation.jsonl")
    Path("run/result.json").unlink()
    file = Path("run/seed-2/predictions/validation.jsonl")
    file.write_text(damage(file.read_text()))
    done = ftcli("resume", "run")
    assert done.code == 0 and "seed-2/predictions/validation.jsonl" in done.out, done.out + done.err
    for row, line in zip(lines("run/predictions/validation.jsonl"), before, strict=True):
        assert row["probabilities"] == pytest.approx(line["probabilities"], abs=1e-6)


def test_an_ensemble_is_listed_and_compared(ftcli, tmp_path):
    words = words_for(tmp_path, "sequence-classification")
    assert ftcli("train", *words, "seeds=[1,2]").code == 0
    listed = json.loads(ftcli("runs", "--json").out)["runs"]
    assert len(listed) == 1 and listed[0]["state"] == "finished"
    done = ftcli("compare", "last", listed[0]["path"] + "/seed-1", "--json")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["pairs"]) == 1
    assert "2 members" in ftcli("evaluate", "last").out


@pytest.mark.parametrize("words", [["seeds=[1,1]"], ["seeds=[-1]"], ["seeds=[a]"], ["num_seeds=0"], ["num_seeds=two"],
                                   ["seeds=[1,2]", "num_seeds=3"], ["num_seeds=1.5"]])  # fmt: skip
def test_what_is_no_list_of_seeds(words):
    with pytest.raises(ConfigError) as caught:
        load(words)
    assert caught.value.problems[0].key in ("seeds", "num_seeds")


def test_one_seed_is_one_run():
    assert load(["num_seeds=1"]).config.seeds == []
    assert load(["seed=7", "num_seeds=3"]).config.seeds == [7, 8, 9]
