"""Runs of several phases from the command line: result, log, resume with a changed schedule, start at a phase."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

SCHEDULE = """\
0: {params: [head], max_epochs: 1, lr: 1e-2}
1: {params: ['layers[-1:]', final], max_epochs: 1, lr: 1e-3}
2: {params: [rest], max_epochs: 1}
"""


@pytest.fixture
def words(ftcli, tiny, tmp_path):
    Path("s.yaml").write_text(SCHEDULE)
    return [*without(tiny), "freezing=schedule", "freezing.file=s.yaml"]


def without(tiny: list[str]) -> list[str]:
    return [word for word in tiny if not word.startswith(("trainer.epochs", "optimizer.lr"))]


def events(run: str, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def test_the_run_keeps_its_schedule_and_tells_its_phases(ftcli, words):
    done = ftcli("train", *words, "trainer.epochs=5", "--run-dir", "run")
    assert done.code == 0, done.err
    result = json.loads(Path("run/result.json").read_text())
    assert [(p["phase"], p["epochs"], p["ended"]) for p in result["phases"]] == [
        (0, 1, "1 epoch"),
        (1, 1, "1 epoch"),
        (2, 1, "1 epoch"),
    ]
    assert Path("run/schedule.yaml").read_text() == SCHEDULE and result["steps"] == 18
    assert [(e["phase"], e["step"]) for e in events("run", "phase")] == [(0, 0), (1, 6), (2, 12)]
    assert [e["trainable"] for e in events("run", "phase")] == [
        p["trainable_parameters"] for p in result["phases"]
    ]
    assert "phase 1: " in done.out and "ended by" in done.out
    assert {name.partition(".")[0] for name in events("run", "train")[-1]["lr"]} == {
        "phase0",
        "phase1",
        "phase2",
    }
    assert ftcli("evaluate", "run").code == 0


def test_a_run_outlives_its_schedule_file(ftcli, words):
    assert ftcli("train", *words, "trainer.epochs=1", "--run-dir", "one").code == 0
    more = [*words, "trainer.epochs=2", "freezing.start_from=one/checkpoints/best"]
    assert ftcli("train", *more, "--run-dir", "two").code == 0
    Path("s.yaml").unlink()
    done = ftcli("resume", "one", "trainer.epochs=3")
    assert done.code == 0 and "is gone: one/schedule.yaml is used" in done.out, done.err
    Path("one").rename("elsewhere")
    assert ftcli("evaluate", "two").code == 0


def test_a_schedule_longer_than_the_run_says_so(ftcli, words):
    Path("s.yaml").write_text("0: {params: [head], max_transition_epoch: 9}\n1: {params: [rest]}")
    done = ftcli("train", *words, "trainer.epochs=2", "--run-dir", "run")
    assert done.code == 0 and "the run ends after trainer.epochs=2" in done.out
    assert json.loads(Path("run/result.json").read_text())["steps"] == 12


def test_a_changed_schedule_needs_leave(ftcli, words):
    assert ftcli("train", *words, "trainer.epochs=1", "--run-dir", "run").code == 0
    Path("s.yaml").write_text(SCHEDULE.replace("1e-3", "1e-4"))
    refused = ftcli("resume", "run", "trainer.epochs=3")
    assert refused.code == 2 and "--allow-change freezing" in refused.err and "phase 1" in refused.err
    assert ftcli("resume", "run", "trainer.epochs=3", "--allow-change", "optimizer").code == 2
    done = ftcli("resume", "run", "trainer.epochs=3", "--allow-change", "freezing")
    assert done.code == 0, done.err
    assert "the plan changed: phase 1" in done.out and "1e-4" in Path("run/schedule.yaml").read_text()
    rates = {e["step"]: e["lr"] for e in events("run", "train")}
    assert rates[10]["phase1.decay"] < 1.1e-4
    assert [e["phase"] for e in events("run", "phase")] == [0, 1, 2]


def test_a_run_starts_at_a_phase_from_a_checkpoint(ftcli, words):
    assert ftcli("train", *words, "trainer.epochs=1", "--run-dir", "one").code == 0
    again = ["freezing.start_phase=1", "freezing.start_from=one/checkpoints/best", "trainer.epochs=2"]
    done = ftcli("train", *words, *again, "--run-dir", "two")
    assert done.code == 0, done.err
    assert "phase 1 begins at step 0" in done.out
    assert [(e["phase"], e["step"]) for e in events("two", "phase")] == [(1, 0), (2, 6)]
    beyond = ftcli("train", *words, "freezing.start_phase=3", "--dry-run")
    assert beyond.code == 2 and "the last one is 2" in beyond.err
    assert ftcli("train", *words, "freezing.start_from=one", "--run-dir", "x").code == 2


def test_the_weights_really_come_from_the_checkpoint(ftcli, words):
    from safetensors.torch import load_file

    base = [*words, "trainer.epochs=1", "trainer.max_steps=1", "optimizer.lr=1e-30"]
    assert ftcli("train", *words, "trainer.epochs=1", "--run-dir", "one").code == 0
    Path("s.yaml").write_text("0: {params: [head]}\n")
    done = ftcli("train", *base, "freezing.start_from=one/checkpoints/last", "--run-dir", "two")
    assert done.code == 0, done.err
    one, two = (load_file(f"{run}/checkpoints/last/model.safetensors") for run in ("one", "two"))
    assert one.keys() <= two.keys() and all((one[n] - two[n]).abs().max() < 1e-6 for n in one)


def test_gradual_unfreezing_follows_what_generate_schedule_writes(ftcli, tiny):
    done = ftcli("train", *without(tiny), "freezing=gradual", "trainer.epochs=5", "--run-dir", "run")
    assert done.code == 0, done.err
    model = [w for w in without(tiny) if w.startswith("model")]
    written = ftcli("generate-schedule", *model).out
    assert Path("run/schedule.yaml").read_text() == written
    assert len(events("run", "phase")) == 4
    fewer = ftcli("train", *without(tiny), "freezing=gradual", "freezing.num_phases=9", "--dry-run")
    assert "9 phases were asked for; this model gives 4" in fewer.out


def test_a_dry_run_says_which_activations_will_be_kept(ftcli, tiny):
    words = [*without(tiny), "freezing=gradual", "trainer.epochs=8"]
    shown = " ".join(ftcli("train", *words, "--dry-run").out.split())
    done = " ".join(ftcli("train", *words, "--run-dir", "run").out.split())
    announced = re.findall(r"those of (.+?) in phase (\d)", shown)
    assert len(announced) >= 2
    for what, phase in announced:
        assert f"phase {phase} reads the activations of {what}" in done
    assert "frozen prefix" not in ftcli("train", *words, "trainer.prefix_cache=off", "--dry-run").out
    # A phase that others follow does not tell how long they take.
    lines = [
        line
        for line in Path("run/train.log").read_text().splitlines()
        if line.startswith("step ") and "loss" in line
    ]
    last = max(int(re.search(r"phase (\d+)", line).group(1)) for line in lines if "rows/s" in line)
    assert last == 3 and all("ETA" not in line for line in lines if f"phase {last}" not in line)


def test_phases_the_run_may_never_reach_are_named_once(ftcli, tiny):
    done = ftcli("train", *without(tiny), "freezing=gradual", "trainer.epochs=2", "--dry-run")
    said = [line for line in done.out.splitlines() if "may never begin" in line]
    assert len(said) == 1 and "phase 1 of 3 may last until epoch 2" in said[0]
    assert (
        "may never begin"
        not in ftcli("train", *without(tiny), "freezing=gradual", "trainer.epochs=8", "--dry-run").out
    )


def test_files_of_activations_that_were_asked_for_and_are_not_kept_are_said(ftcli, tiny):
    done = ftcli("train", *tiny, "trainer.prefix_cache=disk", "--run-dir", "run")
    assert "nothing is kept: no frozen lower part is read for two epochs or more" in done.out


def test_layerwise_rates_and_scaled_lr_from_words(ftcli, tiny):
    shown = ftcli(
        "train",
        *tiny,
        "optimizer.layerwise.kind=table",
        "optimizer.layerwise.table=['head: 10','layers[0]: 0.5']",
        "--dry-run",
    )
    assert shown.code == 0, shown.err
    assert "x10.decay" in shown.out and "0.03" in shown.out and "0.0015" in shown.out
    bad = ftcli("train", *tiny, "optimizer.layerwise.decay=0.5", "--dry-run")
    assert bad.code == 2 and "optimizer.layerwise.decay" in bad.err
    published = ["model.published.lr=1e-5", "model.published.batch_size=32", "model.published.optimizer=sgd"]
    scaled = ftcli("train", *tiny, *published, "optimizer.scale_lr=true", "--dry-run")
    assert "published 1e-05 for batches of 32, scaled to 8" in scaled.out and "2.5e-06" in scaled.out
    assert "was fine-tuned with sgd" in scaled.out
    assert ftcli("train", *tiny, "optimizer.scale_lr=true", "--dry-run").code == 2


@pytest.mark.parametrize("text", ["0: {params: [head], optimiser: sgd}", "0: {params: [hed]}", "0: {params: [head], monitor: f1}",
                                  "0: {params: [head], optimizer: adam}", "0: {params: [head], optimizer: {name: sgd, beta: 1}}",
                                  "0: {params: [head], scheduler: {name: cosine, min_factor: 2}}"])  # fmt: skip
def test_nonsense_is_one_panel_with_the_line(ftcli, words, text):
    Path("s.yaml").write_text("\n" + text)
    done = ftcli("train", *words, "--run-dir", "run")
    assert done.code == 2 and "s.yaml:2" in done.err and not Path("run").exists(), done.err


def test_a_warmup_longer_than_its_phase_names_the_phase_and_its_line(ftcli, tiny):
    Path("s.yaml").write_text("0:\n  params: [head]\n  max_steps: 4\n1:\n  params: [rest]\n  warmup: 999st\n")
    done = ftcli("explain", *tiny, "freezing=schedule", "freezing.file=s.yaml")
    assert done.code == 2 and "s.yaml:4: phase 1: warmup" in done.err and "999" in done.err


def test_curves_are_drawn_into_a_folder_that_is_not_there_yet(ftcli, tiny):
    assert ftcli("explain", *tiny, "-o", "new/lr.png").code == 0
    assert Path("new/lr.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_of_an_earlier_phase_is_scored_though_its_warmup_counts_steps(ftcli, words):
    """No curve is needed for that: a warmup of 2 steps used to be refused as longer than a curve of 1 step."""
    Path("s.yaml").write_text(
        "0: {params: [head], max_epochs: 2, lr: 1e-2, warmup: 2st}\n"
        "1: {params: [rest], max_epochs: 1, min_delta: 1}\n"
    )
    done = ftcli("train", *words, "trainer.epochs=3", "trainer.prefix_cache=auto", "--run-dir", "run")
    assert done.code == 0, done.err
    assert json.loads(Path("run/result.json").read_text())["best_step"] <= 12
