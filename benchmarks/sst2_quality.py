"""Accuracy on SST-2 with MiniLM over seeds: full fine-tuning and LoRA, one epoch.

    FTCLI_DATA=DIR python benchmarks/sst2_quality.py [--seeds 1 2 3] [--methods full lora] [--runs FOLDER]

DIR holds sst2/train.tsv and sst2/dev.tsv. Finished runs in FOLDER are read, not trained again, and a stopped one is
continued. Writes benchmarks/results/sst2_quality.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from sst2_speed import ROOT, cpu

LR = {"full": "5e-5", "lora": "5e-4"}
GOAL = {"full": "mean at least 0.885, none below 0.875", "lora": "at least 0.86"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", choices=list(LR), default=list(LR))
    parser.add_argument("--runs", type=Path, default=Path("runs/sst2-quality"))
    options = parser.parse_args()
    data = os.environ.get("FTCLI_DATA")
    if not data:
        sys.exit("set FTCLI_DATA to the folder that holds sst2/train.tsv and sst2/dev.tsv")
    table = {
        method: [train(method, seed, Path(data) / "sst2", options.runs) for seed in options.seeds]
        for method in options.methods
    }
    write(table, options.seeds)


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


def write(table: dict[str, list[dict]], seeds: list[int]) -> None:
    import torch

    lines = [
        "# SST-2 (67,349 rows) with MiniLM, one epoch, batch 32, linear warmup 0.1, eps 1e-8",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {cpu()}, {os.cpu_count()} cores, torch {torch.__version__}. Accuracy on the 872 rows of dev.",
        "",
        "| method | lr | "
        + " | ".join(f"seed {seed}" for seed in seeds)
        + " | mean | rows/s, median | goal |",
        "|---|---|" + "---|" * (len(seeds) + 3),
    ]
    for method, results in table.items():
        scores = [result["metrics"]["accuracy"] for result in results]
        rates = statistics.median(result["train"]["rows_per_s"] for result in results)
        cells = " | ".join(f"{score:.4f}" for score in scores)
        lines.append(
            f"| {method} | {LR[method]} | {cells} | {statistics.mean(scores):.4f} | {rates:.0f} | {GOAL[method]} |"
        )
    place = ROOT / "benchmarks" / "results" / "sst2_quality.md"
    place.parent.mkdir(exist_ok=True)
    place.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
