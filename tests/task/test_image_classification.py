"""Images through every command: trained, frozen, cached, scored and predicted; damage and mismatches are named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tiny_models
import tiny_tasks
import torch

from ftcli.batching.image_table import ImageTable
from ftcli.config.check import check
from ftcli.config.compose import load
from ftcli.errors import ConfigError, DataError
from ftcli.run.encode import encode_parts
from ftcli.run.inputs import load_inputs
from ftcli.run.model import build_model


@pytest.fixture(params=["vit", "convnext"])
def architecture(request):
    return request.param


@pytest.fixture
def words(tmp_path, monkeypatch, architecture):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    model = tiny_models.write_model(tmp_path / "model", architecture)
    rows = tiny_tasks.write_rows(tmp_path / "rows", "image-classification")
    return ["model=local", f"model.path={model}", "model.weights=random", "trainer.precision=fp32", "trainer.batch_size=8",
            "optimizer.lr=3e-3", "seed=3", "logger=jsonl", *rows]  # fmt: skip


def table(count=6):
    draw = np.random.default_rng(0)
    made = ImageTable.of(draw.integers(0, 256, (count, 4, 6, 3)).astype(np.uint8), patches=5, scale=1 / 255,
                         mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))  # fmt: skip
    made.labels = np.arange(count, dtype=np.int64)
    return made


def test_a_table_is_read_back_as_it_was_saved(tmp_path):
    before = table()
    before.save(tmp_path / "t")
    after = ImageTable.load(tmp_path / "t")
    assert (after.values(np.arange(6)) == before.values(np.arange(6))).all()
    assert after.lengths.tolist() == [5] * 6 and after.longest == 5 and len(after) == 6
    assert after.row(2).tobytes() == before.row(2).tobytes() and after.label(2) == 2
    assert after.sequences(np.array([3])).tolist() == [3]


def test_values_by_hand():
    made = table()
    pixel = made.ids.reshape(6, 4, 6, 3)[4, 1, 2]
    expected = [(p / 255 - m) / s for p, m, s in zip(pixel, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), strict=True)]
    assert made.values(np.array([4]))[0, :, 1, 2] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("wrong", ["shape", "mean", "labels"])
def test_a_table_that_does_not_fit_together_is_refused(tmp_path, wrong):
    made = table()
    if wrong == "labels":
        made.labels = made.labels[:4]
    elif wrong == "shape":
        made.extras["shape"] = np.array([4, 4, 3])
    else:
        del made.extras["mean"]
    made.save(tmp_path / "t")
    with pytest.raises(DataError, match="is not a table of images"):
        ImageTable.load(tmp_path / "t")


def test_a_batch_of_one_and_of_sixteen_have_the_same_losses(words):
    inputs = load_inputs(load(words).config)
    tables, _ = encode_parts(inputs)
    model, task = build_model(inputs).model, inputs.task

    def loss(rows):
        batch = task.collate(tables["train"], np.array(rows), pad_id=0, padding_side="right")
        assert batch["pixel_values"].dtype == torch.float32 and batch["pixel_values"].shape[:2] == (
            len(rows),
            3,
        )
        with torch.no_grad():
            return float(task.compute_loss(model, batch, train=True).loss_sum)

    assert sum(loss([row]) for row in range(16)) == pytest.approx(loss(range(16)), rel=1e-5)


def test_overfit_batch_passes(ftcli, words):
    done = ftcli("overfit-batch", *words)
    assert done.code == 0 and "PASS" in done.out + done.err, done.err


@pytest.mark.parametrize("freezing", ["none", "head-only", "gradual"])
def test_a_run_trains_is_scored_and_predicts(ftcli, words, freezing, tmp_path):
    assert ftcli("train", *words, "trainer.epochs=2", f"freezing={freezing}", "--dry-run").code == 0
    done = ftcli("train", *words, "trainer.epochs=2", f"freezing={freezing}", "--run-dir", "run")
    assert done.code == 0, done.err
    run = tmp_path / "work/run"
    figures = json.loads((run / "result.json").read_text())["metrics"]
    lines = [json.loads(line) for line in (run / "predictions/validation.jsonl").read_text().splitlines()]
    right = sum(line["label"] == line["prediction"] for line in lines)
    assert len(lines) == 16 and right / 16 == pytest.approx(figures["accuracy"])
    assert json.loads(ftcli("evaluate", "run", "--json").out)["metrics"] == pytest.approx(figures)
    source = str(tmp_path / "rows/validation.jsonl")
    assert ftcli("predict", "run", "--input", source, "--output", "out.jsonl").code == 0
    found = [json.loads(line) for line in (tmp_path / "work/out.jsonl").read_text().splitlines()]
    assert sum(line["label"] == line["prediction"] for line in found) == right


@pytest.mark.parametrize("architecture", ["vit"], indirect=True)
def test_images_to_predict_stand_beside_their_file(ftcli, words, tmp_path):
    assert ftcli("train", *words, "trainer.epochs=1", "--run-dir", "run").code == 0
    place = tmp_path / "rows" / "some.csv"
    place.write_text("id,image\n7,validation/red/000.png\n8,validation/green/001.png\n")
    done = ftcli("predict", "run", "--input", str(place), "--output", "out.csv")
    assert done.code == 0, done.err
    out = (tmp_path / "work/out.csv").read_text().splitlines()
    assert out[0] == "id,image,prediction,probability_green,probability_red"
    assert out[1].startswith("7,validation/red/000.png,") and len(out) == 3
    place.write_text("id,image\n7,validation/red/000.png\n8,nowhere.png\n")
    done = ftcli("predict", "run", "--input", str(place), "--output", "more.csv")
    said = " ".join(done.err.replace("│", " ").split())  # a long path breaks the line anywhere
    assert done.code == 2 and "some.csv:3" in said and "nowhere.png is not there" in said
    assert not (tmp_path / "work/more.csv").exists()
    place.write_text("id,file\n7,validation/red/000.png\n")
    done = ftcli("predict", "run", "--input", str(place), "--output", "more.csv")
    assert done.code == 2 and "data.columns.image" in done.err


@pytest.mark.parametrize("architecture", ["vit"], indirect=True)
def test_pixels_come_from_the_cache_until_an_image_changes(words, tmp_path):
    def said():
        return encode_parts(load_inputs(load(words).config))[1]

    assert said() == []
    assert said() == ["train: pixels from the cache", "validation: pixels from the cache"]
    shutil.copy(tmp_path / "rows/train/red/000.png", tmp_path / "rows/train/red/002.png")
    assert said() == ["validation: pixels from the cache"]
    model = tmp_path / "model"
    (model / "preprocessor_config.json").write_text(
        '{"size": {"height": 16, "width": 16}, "image_mean": 0.4}'
    )
    assert said() == []


@pytest.mark.parametrize("architecture", ["vit"], indirect=True)
def test_a_damaged_image_stops_the_run_before_training(ftcli, words, tmp_path):
    file = tmp_path / "rows/train/red/004.png"
    file.write_bytes(file.read_bytes()[:60])
    done = ftcli("train", *words, "--run-dir", "run")
    assert done.code == 2 and "004.png" in done.err, done.err


def test_explain_and_generate_schedule_need_a_config_alone(ftcli, words):
    without_rows = [word for word in words if not word.startswith("data.path")]
    done = ftcli("explain", *without_rows, "freezing=gradual", "--json")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["phases"]) > 2
    done = ftcli("generate-schedule", *without_rows)
    assert done.code == 0 and "classifier.weight" in done.out


def test_explain_measures_a_step_on_random_images(ftcli, words):
    done = ftcli("explain", *words, "--probe", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["probe"]["rows_per_s"] > 0


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["task=image-classification"], {"data": "type data=images data.path=DIR", "tokenizer": "type tokenizer=processor"}),
        (["data=images", "data.path=."], {"data": "type data=text data.path=DIR"}),
        (["tokenizer=processor"], {"tokenizer": "type tokenizer=auto"}),
    ],
)  # fmt: skip
def test_texts_and_images_are_not_mixed(chosen, expected):
    with pytest.raises(ConfigError) as caught:
        check(load(chosen))
    assert {p.key: p.hint for p in caught.value.problems} == expected
