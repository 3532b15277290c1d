"""Baseline, generated and written schedule side by side: accuracy over seeds and wall time.

    FTCLI_DATA=DIR python benchmarks/schedules.py [--sets rte sst2] [--seeds 1 2 3] [--epochs 5] [--runs FOLDER]

The recipes rte-baseline, rte-gradual and rte-schedule with MiniLM, on RTE and on 4,000 rows of SST-2. LoadedModel runs in
FOLDER are read, stopped ones continued. Writes benchmarks/results/schedules.md.
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

RECIPES = ("rte-baseline", "rte-gradual", "rte-schedule")
SETS = {
    "rte": ["tokenizer.max_length=128", "tokenizer.overlength=truncate"],
    "sst2": ["data=sst2", "data.limit_train=4000", "tokenizer.max_length=64"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/schedules"))
    options = parser.parse_args()
    data = data_folder("rte/ and sst2/ with train.tsv and dev.tsv")
    found = {
        (name, recipe): [train(name, recipe, seed, data, options) for seed in options.seeds]
        for name in options.sets
        for recipe in RECIPES
    }
    write(found, options)


def train(name: str, recipe: str, seed: int, data: Path, options: argparse.Namespace) -> dict:
    run = (options.runs / f"{name}-{recipe}-{seed}").absolute()
    words = [f"recipe={recipe}", "model=minilm", *SETS[name], f"data.path={data / name}", f"trainer.epochs={options.epochs}",
             "logger=jsonl", f"seed={seed}"]  # fmt: skip
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ftcli", "train", *words, "--run-dir", str(run), "--resume", "--quiet"]
    subprocess.run(command, env=env, check=True)
    result = json.loads((run / "result.json").read_text())
    print(name, recipe, seed, result["metrics"]["accuracy"], f"{result['wall_seconds']:.0f} s", flush=True)
    return result


def write(found: dict[tuple[str, str], list[dict]], options: argparse.Namespace) -> None:
    seeds = " ".join(map(str, options.seeds))
    lines = [
        "# Baseline, generated and written schedule with MiniLM",
        "",
        f"{conditions()} At most {options.epochs} epochs, batch 32, early stopping after 3 evaluations.",
        f"`python benchmarks/schedules.py --sets {' '.join(options.sets)} --seeds {seeds} --epochs {options.epochs}`.",
        "",
        f"| data | recipe | accuracy of seeds {seeds} | mean (standard deviation) | steps | wall seconds, median |",
        "|---|---|---|---|---|---|",
    ]
    for (name, recipe), results in found.items():
        scores = [result["metrics"]["accuracy"] for result in results]
        deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
        walls = statistics.median(result["wall_seconds"] for result in results)
        steps = ", ".join(str(result["steps"]) for result in results)
        lines.append(
            f"| {name} | {recipe} | {', '.join(f'{s:.4f}' for s in scores)} | {statistics.mean(scores):.4f} "
            f"({deviation:.4f}) | {steps} | {walls:.0f} |"
        )
    publish("schedules", lines)


if __name__ == "__main__":
    main()
