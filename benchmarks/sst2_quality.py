"""Accuracy on SST-2 with MiniLM over seeds: full fine-tuning and LoRA, one epoch.

    FTCLI_DATA=DIR python benchmarks/sst2_quality.py [--seeds 1 2 3] [--methods full lora] [--rows N] [--runs FOLDER]

DIR holds sst2/train.tsv and sst2/dev.tsv; --rows takes the first N training rows instead of all. LoadedModel runs in FOLDER are read, not trained again, and a stopped one is
continued. Writes benchmarks/results/sst2_quality.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from machine import ROOT, conditions, data_folder, publish

LR = {"full": "5e-5", "lora": "5e-4"}
GOAL = {"full": "mean at least 0.885, none below 0.875", "lora": "at least 0.86"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", choices=list(LR), default=list(LR))
    parser.add_argument("--rows", type=int, help="first N training rows; default: all")
    parser.add_argument("--runs", type=Path, default=Path("runs/sst2-quality"))
    options = parser.parse_args()
    data = data_folder("sst2/train.tsv and sst2/dev.tsv")
    rows, runs = data / "sst2", options.runs
    if options.rows:
        runs = runs / f"rows-{options.rows}"
        rows = first_rows(rows, runs / "data", options.rows)
    table = {
        method: [train(method, seed, rows, runs) for seed in options.seeds] for method in options.methods
    }
    write(table, options)


def first_rows(data: Path, folder: Path, count: int) -> Path:
    """Writes the first rows of train.tsv and all of dev.tsv to another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train.tsv", count), ("dev.tsv", None)):
        lines = (data / name).read_text(encoding="utf-8").split("\n")
        kept = lines if rows is None else lines[: rows + 1]
        (folder / name).write_text("\n".join(kept).rstrip("\n") + "\n", encoding="utf-8")
    return folder


def train(method: str, seed: int, data: Path, runs: Path) -> dict:
    run = (runs / f"{method}-{seed}").absolute()
    words = [f"recipe=sst2-{method}", "model=minilm", f"data.path={data.absolute()}", "optimizer.eps=1e-8", "scheduler=linear",
             "scheduler.warmup=0.1", "trainer.epochs=1", "trainer.log_every_n_steps=100", f"optimizer.lr={LR[method]}", f"seed={seed}"]  # fmt: skip
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "ftcli", "train", *words, "--run-dir", str(run), "--resume"],
        env=env,
        check=True,
    )
    return json.loads((run / "result.json").read_text())


def write(table: dict[str, list[dict]], options: argparse.Namespace) -> None:
    seeds = options.seeds
    count = next(iter(table.values()))[0]["train"]["rows"]

    lines = [
        f"# SST-2 ({count:,} rows) with MiniLM, one epoch, batch 32, linear warmup 0.1, eps 1e-8",
        "",
        f"{conditions()} Accuracy on the 872 rows of dev. `python benchmarks/sst2_quality.py "
        f"--seeds {' '.join(map(str, seeds))} --methods {' '.join(table)}{f' --rows {options.rows}' if options.rows else ''}`.",
        "",
        "| method | lr | "
        + " | ".join(f"seed {seed}" for seed in seeds)
        + " | mean | rows/s, median | wall minutes, median | goal |",
        "|---|---|" + "---|" * (len(seeds) + 4),
    ]
    for method, results in table.items():
        scores = [result["metrics"]["accuracy"] for result in results]
        rates = statistics.median(result["train"]["rows_per_s"] for result in results)
        minutes = statistics.median(result["wall_seconds"] for result in results) / 60
        cells = " | ".join(f"{score:.4f}" for score in scores)
        lines.append(
            f"| {method} | {LR[method]} | {cells} | {statistics.mean(scores):.4f} | {rates:.0f} | {minutes:.1f} | "
            f"{GOAL[method] if options.rows is None else 'of all rows'} |"
        )
    name = f"sst2_quality_{options.rows}" if options.rows else "sst2_quality"
    publish(name, lines)


if __name__ == "__main__":
    main()
