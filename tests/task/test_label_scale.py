"""Regression on labels far from 0: standardised by the training rows, and given back in the user's unit everywhere."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
import yaml

from ftcli.batching.label_scale import LabelScale
from ftcli.batching.rows import DatasetSplits, Rows
from ftcli.config.schema import ColumnsConfig
from ftcli.errors import DataError, RunDirError
from ftcli.task.regression import Regression, RegressionConfig


def task_of(values, **config):
    def part(name):
        columns = {"text": ["a"] * len(values), "label": list(values)}
        return Rows(name=name, columns=columns, origin="rows.csv", sha256="0")

    task = Regression(RegressionConfig(**config), ColumnsConfig(text="text", label="label"))
    task.learn_labels(DatasetSplits(train=part("train"), validation=part("validation"), test=None))
    return task


@pytest.mark.parametrize(("values", "standardised"), [
    ([1.0, 2.0, 3.0, 4.0, 5.0], False),  # stars
    ([0.0, 100.0], True),  # per cent
    ([1999.0, 2001.0], True),
    ([-2001.0, -1999.0], True),
    ([0.001, 0.003], True),
    ([-9.0, 9.0], False),
])  # fmt: skip
def test_what_is_standardised_unless_stated(values, standardised):
    task = task_of(values)
    assert task.label_scale.is_identity is not standardised and bool(task.notes) is standardised
    if standardised:
        assert task.learned() == {
            "mean": pytest.approx(np.mean(values)),
            "std": pytest.approx(np.std(values), rel=1e-6),
        }
    else:
        assert task.learned() == {}


def test_it_can_be_stated():
    assert task_of([1.0, 5.0], standardize=True).learned() == {"mean": 3.0, "std": 2.0}
    assert task_of([1999.0, 2001.0], standardize=False).label_scale.is_identity


@pytest.mark.parametrize("value", [10**400, -(10**39), 3.5e38, "1e39", "inf"])
def test_labels_beyond_32_bits_are_refused_with_their_line(value):
    with pytest.raises(DataError) as caught:
        task_of([1.0, value])
    problem = caught.value.problems[0]
    assert problem.hint == "expected a number that 32 bits hold, at most 3.4e+38"
    assert len(problem.message) < 150


def test_labels_that_32_bits_cannot_tell_apart_are_refused():
    """At 1.7e9 neighbouring 32-bit numbers are 128 apart."""
    with pytest.raises(DataError, match="lose their differences in 32-bit numbers") as caught:
        task_of([1.7e9, 1.7e9 + 3000.0])
    assert caught.value.problems[0].hint.startswith("subtract 170000")
    task_of([1.7e9, 1.7e9 + 3e6])


def test_a_record_that_cannot_be_is_refused():
    for values in ({"mean": 1.0, "std": 0.0}, {"mean": math.nan, "std": 1.0}):
        with pytest.raises(RunDirError, match="of the training labels cannot be"):
            LabelScale.from_json(values)


def test_loss_and_predictions_by_hand():
    """Labels 1990, 2010: mean 2000, std 10. Outputs 0.5 and 1.5 are the years 2005 and 2015."""
    from ftcli.batching.output import StepOutput

    task = task_of([1990.0, 2010.0])
    batch, outputs = {"labels": torch.tensor([2000.0, 2010.0])}, torch.tensor([0.5, 1.5])
    loss, count = task.loss(outputs, batch, train=True)
    assert float(loss) == pytest.approx(0.5**2 + 0.5**2) and count == 2
    output = StepOutput(loss, 2, outputs)
    assert [float(record) for record in task.records(output, batch)] == [2005.0, 2015.0]
    assert task.scored(output, batch)["values"][0].tolist() == [2005.0, 2015.0]
    torch.testing.assert_close(task.saved_logits([{"prediction": 2005.0}, {"prediction": 2015.0}]), outputs)
    combined = task.combine([output, StepOutput(loss, 2, torch.tensor([1.5, 0.5]))], batch)
    assert combined.logits.tolist() == [1.0, 1.0] and float(combined.loss_sum) == pytest.approx(1.0)


@pytest.fixture
def years(tmp_path):
    """Returns a function: further words -> words that train a tiny BERT on years, 1980 to 2007 by the last word."""
    import random

    draw, folder = random.Random(3), tmp_path / "years"
    folder.mkdir()
    for name, count in (("train", 48), ("validation", 12)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "year"])
            for _ in range(count):
                words = ["the", *draw.sample(tiny_models.WORDS[21:], draw.randint(0, 5))]
                mark = draw.randrange(10)
                writer.writerow([" ".join([*words, tiny_models.WORDS[11 + mark]]), 1980 + 3 * mark])
    model = tiny_models.write_model(tmp_path / "bert", "bert")
    own = ["model=local", f"model.path={model}", "model.weights=random", "task=regression", "data=text", f"data.path={folder}",
            "data.columns.label=year", "tokenizer.max_length=24", "trainer.batch_size=8", "optimizer.lr=5e-3",
            "trainer.epochs=8", "scheduler=constant", "trainer.precision=fp32", "trainer.threads=1"]  # fmt: skip

    def words(*more: str) -> list[str]:
        given = {word.partition("=")[0] for word in more}
        return [*(word for word in own if word.partition("=")[0] not in given), *more]

    return words


def lines_of(folder):
    text = (folder / "predictions" / "validation.jsonl").read_text().splitlines()
    return [json.loads(line) for line in text]


def test_a_run_from_training_to_plain_transformers(ftcli, years, tmp_path):
    done = ftcli("train", *years("task.metrics=[mse,r2]"), "--run-dir", "run")
    assert done.code == 0 and "labels are standardised: mean" in done.out
    rows = rows_of(tmp_path / "years" / "train.csv")
    labels = np.array([float(row["year"]) for row in rows])
    recorded = json.loads(Path("run/data.json").read_text())["task"]
    assert recorded == {"mean": pytest.approx(labels.mean()), "std": pytest.approx(labels.std())}
    lines = lines_of(Path("run"))
    found, right = (np.array([line[name] for line in lines]) for name in ("prediction", "label"))
    result = json.loads(Path("run/result.json").read_text())
    assert result["metrics"]["mse"] == pytest.approx(np.mean((found - right) ** 2), rel=1e-4)
    assert result["metrics"]["loss"] == pytest.approx(result["metrics"]["mse"] / labels.var(), rel=1e-3)
    assert result["metrics"]["r2"] > 0.5  # without a scale the head is 2,000 short of every label

    source = str(tmp_path / "years" / "validation.csv")
    assert ftcli("predict", "run", "--input", source, "--output", "out.csv").code == 0
    again = [float(row["prediction"]) for row in rows_of("out.csv")]
    np.testing.assert_allclose(again, found, rtol=0, atol=2e-3)
    done = ftcli("evaluate", "run", "--json")
    assert json.loads(done.out)["metrics"]["mse"] == pytest.approx(result["metrics"]["mse"], rel=1e-5)

    done = ftcli("export", "run", "folder")
    assert done.code == 0, done.err
    np.testing.assert_allclose(plain_predictions("folder", rows_of(source)), found, rtol=0, atol=5e-3)

    # The exported head gives years: trained on, it begins where it was.
    more = ["model.path=folder", "model.weights=pretrained", "trainer.max_steps=1", "optimizer.lr=1e-12"]
    done = ftcli("train", *years(*more), "--run-dir", "on")
    assert done.code == 0 and "it is converted to that of standardised labels" in done.out
    np.testing.assert_allclose(
        [line["prediction"] for line in lines_of(Path("on"))], found, rtol=0, atol=2e-2
    )


def rows_of(path):
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def plain_predictions(folder, rows):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = AutoTokenizer.from_pretrained(folder)(
        [r["text"] for r in rows], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        return model(**inputs).logits[:, 0].numpy()


def test_an_interrupted_run_ends_with_the_same_bytes(ftcli, years):
    assert ftcli("train", *years("trainer.max_steps=12"), "--run-dir", "whole").code == 0
    assert ftcli("train", *years("trainer.max_steps=6"), "--run-dir", "parts").code == 0
    assert ftcli("resume", "parts", "trainer.max_steps=12").code == 0
    files = [Path(run) / "checkpoints" / "last" / "model.safetensors" for run in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes() and lines_of(Path("whole")) == lines_of(
        Path("parts")
    )


def test_a_run_from_before_there_was_a_scale_goes_on_without(ftcli, years):
    """Its config.yaml has no such key and its data.json no such record."""
    old = Path("old")
    assert (
        ftcli("train", *years("task.standardize=false", "trainer.max_steps=6"), "--run-dir", "old").code == 0
    )
    saved = yaml.safe_load((old / "config.yaml").read_text())
    (old / "config.yaml").write_text(
        "\n".join(
            line for line in (old / "config.yaml").read_text().splitlines() if "standardize" not in line
        )
        + "\n"
    )
    assert saved["task"]["standardize"] is False and "standardize" not in (old / "config.yaml").read_text()
    assert "task" not in json.loads((old / "data.json").read_text())
    mse = json.loads((old / "result.json").read_text())["metrics"]["mse"]
    assert json.loads(ftcli("evaluate", "old", "--json").out)["metrics"]["mse"] == pytest.approx(
        mse, rel=1e-6
    )
    done = ftcli("resume", "old", "trainer.max_steps=8")
    assert done.code == 0 and "standardised" not in done.out
    (old / "hashes.json").unlink()  # config.yaml and data.json are not those that the run wrote
    assert ftcli("verify", "old", "--steps", "2").code == 0
    assert (
        max(abs(line["prediction"]) for line in lines_of(old)) < 100
    )  # raw labels are not reached in eight steps


def test_bf16_keeps_the_digits_of_years(ftcli, years):
    """With the head in bf16 predictions were multiples of 8, and Pearson of two or three values said nothing."""
    assert (
        ftcli(
            "train", *years("trainer.precision=bf16", "task.metrics=[pearson,mse]"), "--run-dir", "half"
        ).code
        == 0
    )
    assert ftcli("train", *years("task.metrics=[pearson,mse]"), "--run-dir", "full").code == 0
    half, full = (json.loads((Path(run) / "result.json").read_text())["metrics"] for run in ("half", "full"))
    found = {line["prediction"] for line in lines_of(Path("half"))}
    assert len(found) == 12 and all(value % 1 for value in found)
    assert half["mse"] == pytest.approx(full["mse"], rel=0.25) and half["pearson"] > 0.7
    done = ftcli("export", "half", "folder")
    assert done.code == 0 and "against ftcli predict in bf16" in done.out


def test_a_monitor_that_is_always_nan_has_no_best(ftcli, years, tmp_path):
    """All validation labels are equal, so there is no correlation."""
    file = tmp_path / "years" / "validation.csv"
    rows = rows_of(file)
    with file.open("w", newline="") as target:
        writer = csv.DictWriter(target, ["text", "year"])
        writer.writeheader()
        writer.writerows(row | {"year": 1990} for row in rows)
    done = ftcli("train", *years("task.metrics=[pearson,mse]", "trainer.epochs=2"), "--run-dir", "run")
    assert done.code == 0 and done.out.count("pearson is nan, so this evaluation is never the best") == 2
    assert "(best)" not in done.out and "no checkpoint is the best" in done.out
    assert "result of the last checkpoint" in done.out and "none of 12" in done.out
    assert json.loads(Path("run/result.json").read_text())["best_step"] is None
    refused = ftcli("evaluate", "run")
    assert refused.code == 2 and "--checkpoint step-000012" in refused.err
    assert ftcli("evaluate", "run", "--checkpoint", "last").code == 0


def test_overfit_batch_names_unscaled_labels(ftcli, years):
    done = ftcli("overfit-batch", *years("task.standardize=false", "optimizer.lr=1e-4"))
    assert done.code == 3 and "labels unscaled: the labels have a mean 199" in done.out
    assert (
        "-> type task.standardize=true" in done.out
        and "optimizer.lr" not in done.out.split("labels unscaled")[1]
    )
    assert "labels unscaled" not in ftcli("overfit-batch", *years("task.standardize=true")).out


def test_the_padding_proof_of_large_losses_is_relative(ftcli, years, tmp_path):
    """A squared error of 1e11 is rounded by thousands, beside which a small loss of another row may stand."""
    for name in ("train", "validation"):
        file = tmp_path / "years" / f"{name}.csv"
        rows = rows_of(file)
        with file.open("w", newline="") as target:
            writer = csv.DictWriter(target, ["text", "year"])
            writer.writeheader()
            longest = max(len(row["text"].split()) for row in rows)
            writer.writerows(
                row | {"year": 300_000 + i if len(row["text"].split()) == longest else i % 7}
                for i, row in enumerate(rows)
            )
    done = ftcli("check-data", *years("task.standardize=false"))
    assert (
        "padding changes" not in done.out + done.err and "a row scores alone as in a padded batch" in done.out
    )


def test_weights_that_are_nan_are_named_before_a_run(ftcli, years, tmp_path):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(tmp_path / "bert"))
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight[2, 3] = math.nan
    model.save_pretrained(tmp_path / "bert")
    done = ftcli("train", *years("model.weights=pretrained", "--run-dir", "run"))
    assert done.code in (2, 3) and "output.dense.weight" in done.err, done.err
    assert "hold NaN or infinite numbers" in done.err and not Path("run").exists()
