"""Gradual unfreezing beside finetuning-scheduler 2.14 (Lightning): rows/s a phase, and time to an accuracy.

    FTCLI_DATA=DIR python benchmarks/unfreezing.py --peer-python PYTHON [--rows 640] [--repeats 3] [--seeds 1 2 3]

PYTHON is of an environment with the same torch and transformers, lightning, and finetuning-scheduler==2.14.1. MiniLM on
SST-2, batch 32, the model's dropout, fused AdamW, clipping at 1.0, batches grouped by length in both tools, fp32.

- rows/s: one schedule file of three phases (head; the two top layers and pooler; the rest), an epoch each, runs in both
  tools in turns. Only training steps count, so ftcli keeps no activations here (benchmarks/speed.py measures that).
- time to an accuracy: each tool's own generated schedule, early stopping with patience 1; seconds of training and
  evaluation until the dev accuracy first reaches --target, or until --limit seconds have passed.

Writes benchmarks/results/unfreezing.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import ROOT, conditions, first_rows, minilm, publish, run_peer, spread

PEER = ROOT / "benchmarks" / "peers" / "lightning_fts.py"

SCHEDULE = """\
0:
  params: ['classifier.(weight|bias)']
  max_transition_epoch: 1
  lr: 1.0e-03
1:
  params: ['bert.encoder.layer.[45].*', 'bert.pooler.*']
  max_transition_epoch: 2
  lr: 1.0e-04
2:
  params: ['bert.embeddings.*', 'bert.encoder.layer.[0123].*']
  max_transition_epoch: 3
  lr: 5.0e-05
"""

LR = 2e-4
"""Of the generated schedules: the head's for ftcli, every phase's for the peer, as each does by default."""


def named_in_lightning(schedule: str) -> str:
    """Returns a schedule for Lightning's module, which holds the model as an attribute: names begin with it."""
    return schedule.replace("'classifier", "'model.classifier").replace("'bert", "'model.bert")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--target", type=float, default=0.8)
    parser.add_argument("--limit", type=float, default=240)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first_rows(folder, options.rows, 400)
        (folder / "schedule.yaml").write_text(SCHEDULE)
        (folder / "peer.yaml").write_text(named_in_lightning(SCHEDULE))
        rates: dict[str, list[list[float]]] = {"ftcli": [], "finetuning-scheduler": []}
        for number in range(options.repeats):
            rates["ftcli"].append(ours_by_phase(folder, number, options.rows))
            rates["finetuning-scheduler"].append(theirs_by_phase(folder, options))
            print({k: [[round(r) for r in run] for run in v] for k, v in rates.items()}, flush=True)
        reached = {"ftcli": [], "finetuning-scheduler": []}
        for seed in options.seeds:
            reached["ftcli"].append(ours_to_target(folder, seed, options))
            reached["finetuning-scheduler"].append(theirs_to_target(folder, seed, options))
            print(reached, flush=True)
    write(rates, reached, options)


def ours(folder: Path, run: Path, *words: str) -> list[dict]:
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "FTCLI_CACHE": str(folder / "cache")}
    base = ["recipe=sst2-full", "model=minilm", f"data.path={folder / 'sst2'}", "optimizer.eps=1e-8", "scheduler=constant",
            "tokenizer.max_length=64", "trainer.precision=fp32", "logger=jsonl"]  # fmt: skip
    command = [sys.executable, "-m", "ftcli", "train", *base, *words, "--run-dir", str(run), "--quiet"]
    subprocess.run(command, env=env, check=True, cwd=folder)
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def ours_by_phase(folder: Path, number: int, rows: int) -> list[float]:
    """Returns rows/s of the training steps of each phase."""
    words = ["freezing=schedule", f"freezing.file={folder / 'schedule.yaml'}", "freezing.epoch_transitions_only=true",
             "trainer.epochs=3", "trainer.prefix_cache=off", "trainer.log_every_n_steps=1000000", "seed=1"]  # fmt: skip
    lines = ours(folder, folder / f"phases-{number}", *words)
    return [line["rows_per_s"] for line in lines if line["event"] == "train"]


def theirs(folder: Path, options: argparse.Namespace, **spec: object) -> dict:
    rows = folder / "sst2"
    with tempfile.TemporaryDirectory() as out:
        own = {"model": str(minilm()), "train": str(rows / "train.tsv"), "validation": str(rows / "validation.tsv"), "out": out,
               "limit": options.limit, "target": None, "schedule": None, "epochs": 1000, "device": "cpu", "precision": "fp32",
               "grouped": True} | spec  # fmt: skip
        return run_peer(PEER, own, folder, python=options.peer_python)


def theirs_by_phase(folder: Path, options: argparse.Namespace) -> list[float]:
    reported = theirs(folder, options, schedule=str(folder / "peer.yaml"), epochs=3, seed=1, lr=1e-3)
    assert reported["depths"] == [0, 1, 2], reported["depths"]
    return [options.rows / seconds for seconds in reported["epochs"]]


def ours_to_target(folder: Path, seed: int, options: argparse.Namespace) -> tuple[float | None, float]:
    """Returns (seconds to the target or None, best accuracy)."""
    words = ["freezing=gradual", "trainer.epochs=40", "trainer.patience=1", "trainer.monitor=loss", f"optimizer.lr={LR}", f"seed={seed}"]  # fmt: skip
    lines = ours(folder, folder / f"gradual-{seed}", *words)
    seconds, best, step = 0.0, 0.0, 0
    for line in lines:
        if line["event"] == "train":
            seconds += line["seconds_per_step"] * (line["step"] - step)
            step = line["step"]
        elif line["event"] == "eval":
            seconds += line["seconds"]
            best = max(best, line["accuracy"])
            if line["accuracy"] >= options.target:
                return seconds, best
    return None, best


def theirs_to_target(folder: Path, seed: int, options: argparse.Namespace) -> tuple[float | None, float]:
    reported = theirs(folder, options, target=options.target, seed=seed, lr=LR)
    best = max(score for _, score in reported["curve"])
    return next((seconds for seconds, score in reported["curve"] if score >= options.target), None), best


def write(rates: dict, reached: dict, options: argparse.Namespace) -> None:
    lines = [
        "# Gradual unfreezing beside finetuning-scheduler 2.14.1",
        "",
        f"{conditions()} MiniLM, {options.rows} rows of SST-2, 400 of dev, batch 32, fp32.",
        f"`python benchmarks/unfreezing.py --peer-python PYTHON --rows {options.rows} --repeats {options.repeats} --seeds "
        f"{' '.join(map(str, options.seeds))} --target {options.target} --limit {options.limit:g}`.",
        "",
        "Rows/s of training steps in each phase of one schedule, median (minimum-maximum) of interleaved runs; ratios run by run.",
        "",
        "| phase trains | ftcli | finetuning-scheduler | ratio |",
        "|---|---|---|---|",
    ]
    for index, what in enumerate(("head", "two top layers and pooler too", "everything")):
        mine, other = ([run[index] for run in rates[name]] for name in ("ftcli", "finetuning-scheduler"))
        ratios = [a / b for a, b in zip(mine, other, strict=True)]
        lines.append(f"| {what} | {spread(mine, 0)} | {spread(other, 0)} | {spread(ratios, 2)} |")
    if options.seeds:
        lines += ["", f"Seconds of training and evaluation until dev accuracy {options.target}, each tool's own generated schedule:",
                  "", "| tool | " + " | ".join(f"seed {s}" for s in options.seeds) + " | median |",
                  "|---|" + "---|" * (len(options.seeds) + 1)]  # fmt: skip
        for name, found in reached.items():
            cells = [f"{seconds:.0f}" if seconds is not None else f"not within {options.limit:g} (best {best:.3f})" for seconds, best in found]  # fmt: skip
            times = [seconds for seconds, _ in found if seconds is not None]
            middle = f"{statistics.median(times):.0f}" if len(times) == len(found) else ""
            lines.append(f"| {name} | {' | '.join(cells)} | {middle} |")
    publish("unfreezing", lines)


if __name__ == "__main__":
    main()
