"""`ftcli explain`: counts, lengths, curves and memory, from a config.json and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import tiny_models as models
from plan_values import make_rates

from ftcli.diagnostics.timeline import RunLength, build_timeline, longest_run

SCHEDULE = """\
0: {params: [head], max_epochs: 1, lr: 1e-2}
1: {params: ['layers[-1:]', final], max_epochs: 2, lr: 1e-3}
2: {params: [rest], lr: 1e-4}
"""


@pytest.fixture
def source(ftcli, tmp_path):
    """Words for a model of which there is a config.json alone, and a schedule."""
    model = tmp_path / "model"
    models.write_model(model, "bert")
    for file in model.iterdir():
        if file.name != "config.json":
            file.unlink()
    (tmp_path / "s.yaml").write_text(SCHEDULE)
    return [
        "model=local",
        f"model.path={model}",
        "data=text",
        "freezing=schedule",
        f"freezing.file={tmp_path / 's.yaml'}",
    ]


def test_one_object_and_nothing_else_on_stdout(ftcli, source):
    done = ftcli("explain", *source, "trainer.epochs=4", "--json")
    assert done.code == 0, done.err
    explained = json.loads(done.out)
    assert [p["index"] for p in explained["phases"]] == [0, 1, 2] and explained["rows"] is None
    assert explained["longest"] == {"epochs": 4.0, "steps": None} and explained["probe"] is None
    assert [p["start_epoch"] for p in explained["phases"]] == [0, 1, 3]
    assert [p["longest_epochs"] for p in explained["phases"]] == [1, 2, 1]
    assert explained["phases"][0]["num_trainable_parameters"] == 66
    peaks = [max(high for _, _, high in p["lr_curve"]) for p in explained["phases"]]
    assert peaks == pytest.approx([1e-2, 1e-2, 1e-2], rel=0.01)
    lows = [max(low for _, low, _ in p["lr_curve"]) for p in explained["phases"]]
    assert lows == pytest.approx([1e-2, 1e-3, 1e-4], rel=0.01)


def test_with_rows_lengths_are_steps(ftcli, source, tmp_path):
    rows = models.write_rows(tmp_path / "rows", train=50)
    done = ftcli(
        "explain", *source, f"data.path={rows}", "trainer.batch_size=8", "trainer.epochs=2", "--json"
    )
    explained = json.loads(done.out)
    assert explained["rows"] == 50 and explained["longest"] == {"epochs": 2.0, "steps": 14}
    assert explained["phases"][2]["lr_curve"] == [] and explained["phases"][2]["start_epoch"] == 2
    printed = ftcli("explain", *source, f"data.path={rows}", "trainer.batch_size=8", "trainer.epochs=2").out
    assert "phase 2 begins only if earlier phases end before their counts" in printed
    assert "longest possible run: 2 epochs, 14 steps" in printed


@pytest.mark.parametrize(("suffix", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_pictures(ftcli, source, suffix, begin):
    assert ftcli("explain", *source, "-o", f"lr.{suffix}").code == 0
    assert Path(f"lr.{suffix}").read_bytes().startswith(begin)
    assert ftcli("explain", *source, "-o", "lr.pdf").code == 2


def test_a_probe_measures_a_step(ftcli, source):
    done = ftcli("explain", *source, "trainer.batch_size=4", "tokenizer.max_length=16", "--probe", "--json")
    probe = json.loads(done.out)["probe"]
    assert probe["phase"] == 2 and probe["seconds"] > 0 and probe["peak_bytes"] > 1e7
    assert probe["tokens_per_s"] == pytest.approx(probe["rows_per_s"] * 16)


def test_explain_follows_the_trainer(ftcli, source, tmp_path):
    """The lr that explain prints is the lr that a run logs, at every step."""
    rows = models.write_rows(tmp_path / "rows", train=50)
    models.write_model(tmp_path / "model", "bert")
    words = [*source, f"data.path={rows}", "trainer.batch_size=8", "trainer.epochs=4", "model.weights=random",
             "trainer.log_every_n_steps=1", "trainer.precision=fp32", "tokenizer.max_length=24"]  # fmt: skip
    explained = json.loads(ftcli("explain", *words, "--json").out)
    done = ftcli("train", *words, "--run-dir", "run")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    logged = {e["step"]: e["lr"].values() for e in lines if e["event"] == "train"}
    drawn = [point for phase in explained["phases"] for point in phase["lr_curve"]]
    assert len(drawn) == len(logged) == 28
    for (epoch, low, high), (step, rates) in zip(drawn, sorted(logged.items()), strict=True):
        assert round(epoch * 7) + 1 == step
        assert (low, high) == pytest.approx((min(rates), max(rates)))


def test_phases_ended_by_scores_are_drawn_at_their_earliest(ftcli):
    from ftcli.plan.plan import Group, Phase, Plan, Trigger

    def phase(index, **trigger):
        rates, groups = make_rates(scheduler="constant"), (Group("g", ("a",), 1.0, 0.0, 1),)
        return Phase(index=index, trainable=("a",), groups=groups, hits=(), optimizer=rates.optimizer,
                     scheduler=rates.scheduler, trigger=Trigger(**trigger))  # fmt: skip

    plan = Plan(
        (phase(0, patience=2), phase(1, plateau_slope=0.1, plateau_window=4), phase(2, patience=1)),
        1,
        1,
        (),
        (),
    )
    length = RunLength(steps_per_epoch=10, total_steps=200, steps_per_evaluation=5, rows=80)
    timeline = build_timeline(plan, length, lambda phase, steps, per_epoch: lambda step: 0.5)
    assert [(s.start, s.steps, s.longest, s.by_scores) for s in timeline] == [
        (0, 15, 200, True), (15, 20, 185, True), (35, 165, 165, False)]  # fmt: skip
    assert longest_run(plan, length) == 200 and {high for s in timeline for _, _, high in s.curve} == {0.5}


def test_memory_by_hand(ftcli, source):
    explained = json.loads(
        ftcli("explain", *source, "--json", "trainer.precision=fp32", "tokenizer.max_length=16").out
    )
    total = explained["num_parameters"]
    for phase in explained["phases"]:
        need = phase["memory_bytes"]
        trained = phase["num_trainable_parameters"]
        assert (need["weights"], need["gradients"], need["optimizer"]) == (
            4 * total,
            4 * trained,
            8 * trained,
        )
    # 16 rows of 16 tokens, width 32, 2 heads: one layer in fp32 twice s b h (34 + 5 a s / h).
    layer = 2 * 16 * 16 * 32 * (34 + 5 * 2 * 16 / 32)
    assert [p["memory_bytes"]["activations"] for p in explained["phases"]] == [
        0,
        math.floor(layer),
        math.floor(2 * layer),
    ]
