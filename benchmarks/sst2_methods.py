"""Eleven ways to fine-tune MiniLM on the same rows of SST-2: accuracy over seeds, what trains, speed, memory, bytes on disk.

    FTCLI_DATA=DIR python benchmarks/sst2_methods.py [--rows 4000] [--epochs 2] [--seeds 1 2 3] [--methods lora ia3 ...] [--jobs 1]

Batch 32, linear decay with a warmup of 0.1, no early stopping, max_length 64; the lr of each method is the best of a few after one epoch
on seed 0 (`--search --epochs 1`, which prints them and writes nothing). LoadedModel runs in --runs are read, not trained again; --jobs 2
trains two at a time, each on one core. Speed is measured apart, for runs side by side slow each other down: --speed-repeats times each
method in turn trains --speed-rows rows alone, on all cores; only its steps count. DIR holds sst2/train.tsv and sst2/dev.tsv. Writes benchmarks/results/sst2_methods.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import ROOT, conditions, data_folder, publish, spread

METHODS: dict[str, tuple[list[str], str, Sequence[str]]] = {
    "full": ([], "2e-4", ("2e-5", "5e-5", "1e-4", "2e-4")),
    "head only": (["freezing=head-only"], "1e-1", ("1e-3", "1e-2", "3e-2", "1e-1")),
    "BitFit": (["freezing=bias-only"], "3e-3", ("4e-4", "1e-3", "3e-3", "1e-2")),
    "LoRA": (["peft=lora"], "5e-3", ("5e-4", "1e-3", "2e-3", "5e-3")),
    "DoRA": (["peft=dora"], "5e-3", ("5e-4", "1e-3", "2e-3", "5e-3")),
    "IA3": (["peft=ia3"], "3e-2", ("1e-3", "5e-3", "1e-2", "3e-2")),
    "prefix tuning": (["peft=prefix-tuning"], "1e-1", ("1e-3", "1e-2", "3e-2", "1e-1")),
    "P-tuning": (["peft=p-tuning"], "3e-2", ("3e-4", "1e-3", "1e-2", "3e-2")),
    "prompt tuning": (["peft=prompt-tuning"], "1e-1", ("1e-3", "1e-2", "1e-1")),
    "bottleneck, Houlsby": (["peft=bottleneck-houlsby"], "3e-3", ("3e-4", "1e-3", "3e-3", "1e-2")),
    "bottleneck, Pfeiffer": (["peft=bottleneck-pfeiffer"], "1e-2", ("3e-4", "1e-3", "3e-3", "1e-2")),
}
"""Method -> words, lr, and the lrs that were tried."""

PUBLISHED = """
A public write-up reports for GPT-2 (124M) on all 67,349 rows, one GPU: full fine-tuning 91.5 % on a T4 and 91.4 % on a P100, LoRA 90.7 % and 90.8 %,
full fine-tuning by Hugging Face's Trainer 89.5 % and 90.4 %. Those are another model and other rows: not the same work.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--runs", type=Path, default=Path("runs/sst2-methods"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--speed-rows", type=int, default=960)
    parser.add_argument("--speed-repeats", type=int, default=3)
    parser.add_argument("--search", action="store_true", help="try each method's lrs on seed 0, and stop")
    options = parser.parse_args()
    data = data_folder("sst2/train.tsv and sst2/dev.tsv") / "sst2"
    wanted = [
        (method, lr, seed)
        for method in options.methods
        for lr in (METHODS[method][2] if options.search else METHODS[method][1:2])
        for seed in ([0] if options.search else options.seeds)
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda one: train(*one, data, options), wanted))
    if not options.search:
        rates = [
            {method: speed(method, data, options, number) for method in options.methods}
            for number in range(options.speed_repeats)
        ]
        write(dict(zip(wanted, results, strict=True)), rates, options)


def train(method: str, lr: str, seed: int, data: Path, options: argparse.Namespace) -> dict:
    """Trains in a process of its own, or reads the finished run."""
    run = options.runs / f"rows-{options.rows}-epochs-{options.epochs}" / f"{folder(method)}-{lr}-{seed}"
    words = [f"data.limit_train={options.rows}", f"trainer.epochs={options.epochs}", f"optimizer.lr={lr}"]
    threads = ["trainer.threads=1"] if options.jobs > 1 else []
    result = run_ftcli(run, [*METHODS[method][0], *words, f"seed={seed}", *threads], data)
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    result["memory"] = max(event["memory_bytes"] for event in events if event["event"] == "train")
    result["bytes"] = (run / "checkpoints" / "best" / "model.safetensors").stat().st_size
    print(f"{method} lr {lr} seed {seed}: {result['metrics']['accuracy']:.4f}", flush=True)
    return result


def speed(method: str, data: Path, options: argparse.Namespace, number: int) -> float:
    """Trains an epoch of a few rows alone; returns rows a second of its steps."""
    added, lr, _ = METHODS[method]
    run = options.runs / f"speed-rows-{options.speed_rows}" / f"{folder(method)}-{number}"
    words = [f"data.limit_train={options.speed_rows}", "data.limit_validation=64", "trainer.epochs=1"]
    result = run_ftcli(run, [*added, *words, f"optimizer.lr={lr}"], data)
    rate = float(result["train"]["rows_per_s"])
    print(f"{method}: {rate:.1f} rows/s", flush=True)
    return rate


def folder(method: str) -> str:
    return method.replace(",", "").replace(" ", "-")


def run_ftcli(run: Path, words: list[str], data: Path) -> dict:
    """Runs `ftcli train` in a process of its own, where that run is not finished yet, and returns its result."""
    common = ["recipe=sst2-full", "model=minilm", f"data.path={data}", "optimizer.eps=1e-8", "scheduler=linear",
              "scheduler.warmup=0.1", "tokenizer.max_length=64", "trainer.patience=null", "trainer.keep_checkpoints=1",
              "logger=jsonl", "data.seed=0"]  # fmt: skip
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    flags = ["--run-dir", str(run.absolute()), "--resume", "--quiet"]
    if not (run / "result.json").exists():
        subprocess.run([sys.executable, "-m", "ftcli", "train", *common, *words, *flags], env=env, check=True)
    return dict(json.loads((run / "result.json").read_text()))


def write(
    results: dict[tuple[str, str, int], dict], rates: list[dict[str, float]], options: argparse.Namespace
) -> None:
    jobs = f"; {options.jobs} runs at a time, one core each" if options.jobs > 1 else ""
    arguments = f"--rows {options.rows} --epochs {options.epochs} --seeds {' '.join(map(str, options.seeds))} --jobs {options.jobs} --speed-rows {options.speed_rows} --speed-repeats {options.speed_repeats}"
    if len(options.methods) < len(METHODS):
        arguments += " --methods " + " ".join(f'"{method}"' for method in options.methods)
    lines = [
        f"# {len(options.methods)} ways to fine-tune MiniLM on {options.rows:,} rows of SST-2, {options.epochs} epochs",
        "",
        f"{conditions()} `python benchmarks/sst2_methods.py {arguments}`{jobs} (not so for rows/s).",
        "",
        f"Accuracy on the 872 rows of dev, best of the evaluations after each epoch: mean (standard deviation) over {len(options.seeds)} seeds.",
        f"Rows/s of training steps: {options.speed_repeats} epochs of {options.speed_rows} rows each, the methods in turns, alone and on all cores:",
        "median (minimum-maximum), and the ratio to full fine-tuning turn by turn. Memory: peak of the process.",
        "On disk: model.safetensors of a checkpoint, all that is needed beside the base. The lr is the best of those named, after one epoch on seed 0.",
        "",
        "| method | lr (tried) | accuracy | trains | share | rows/s | of full | peak memory, MiB | on disk, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method in options.methods:
        _, lr, tried = METHODS[method]
        own = [results[method, lr, seed] for seed in options.seeds]
        scores = [one["metrics"]["accuracy"] for one in own]
        deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
        trained, total = own[0]["trainable_parameters"], own[0]["total_parameters"]
        rate = [turn[method] for turn in rates]
        ratio = [turn[method] / turn["full"] for turn in rates if "full" in turn]
        memory = statistics.median(one["memory"] for one in own) / 2**20
        lines.append(
            f"| {method} | {lr} ({', '.join(tried)}) | {statistics.mean(scores):.4f} ({deviation:.4f}) | {trained:,} | "
            f"{trained / total:.2%} | {spread(rate, 0)} | {spread(ratio, 2) if ratio else ''} | {memory:,.0f} | {own[0]['bytes'] / 2**20:.2f} |"
        )
    publish("sst2_methods", [*lines, *PUBLISHED.rstrip().splitlines()])


if __name__ == "__main__":
    main()
