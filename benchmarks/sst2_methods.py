"""Ten ways to fine-tune MiniLM on the same rows of SST-2: accuracy over seeds, what trains, speed, memory, bytes on disk.

    FTCLI_DATA=DIR python benchmarks/sst2_methods.py [--rows 4000] [--epochs 2] [--seeds 1 2 3] [--methods lora ia3 ...] [--jobs 1]

Batch 32, linear decay with a warmup of 0.1, no early stopping, max_length 64; the lr of each method is the best of a few on seed 0
(`--search`, which prints them and writes nothing). Finished runs in --runs are read, not trained again; --jobs 2 trains two at a time, each
on one core, which is stated with the result. DIR holds sst2/train.tsv and sst2/dev.tsv. Writes benchmarks/results/sst2_methods.md.
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

from machine import ROOT, conditions, data_folder, publish

METHODS: dict[str, tuple[list[str], str, Sequence[str]]] = {
    "full": ([], "5e-5", ("2e-5", "5e-5", "1e-4")),
    "head only": (["freezing=head-only"], "1e-2", ("1e-3", "1e-2", "3e-2")),
    "BitFit": (["freezing=bias-only"], "1e-3", ("4e-4", "1e-3", "3e-3")),
    "LoRA": (["peft=lora"], "1e-3", ("5e-4", "1e-3", "2e-3")),
    "DoRA": (["peft=dora"], "1e-3", ("5e-4", "1e-3", "2e-3")),
    "IA3": (["peft=ia3"], "5e-3", ("1e-3", "5e-3", "1e-2")),
    "prefix tuning": (["peft=prefix-tuning"], "1e-2", ("1e-3", "1e-2", "3e-2")),
    "P-tuning": (["peft=p-tuning"], "1e-3", ("3e-4", "1e-3", "1e-2")),
    "prompt tuning": (["peft=prompt-tuning"], "1e-2", ("1e-3", "1e-2", "1e-1")),
    "bottleneck, Houlsby": (["peft=bottleneck-houlsby"], "1e-3", ("3e-4", "1e-3", "3e-3")),
    "bottleneck, Pfeiffer": (["peft=bottleneck-pfeiffer"], "1e-3", ("3e-4", "1e-3", "3e-3")),
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
        write(dict(zip(wanted, results, strict=True)), options)


def train(method: str, lr: str, seed: int, data: Path, options: argparse.Namespace) -> dict:
    """Trains in a process of its own, or reads the finished run."""
    name = method.replace(",", "").replace(" ", "-")
    run = (options.runs / f"rows-{options.rows}-epochs-{options.epochs}" / f"{name}-{lr}-{seed}").absolute()
    words = ["recipe=sst2-full", "model=minilm", f"data.path={data}", f"data.limit_train={options.rows}", *METHODS[method][0],
             f"optimizer.lr={lr}", "optimizer.eps=1e-8", "scheduler=linear", "scheduler.warmup=0.1", "tokenizer.max_length=64",
             f"trainer.epochs={options.epochs}", "trainer.patience=null", "trainer.keep_checkpoints=1", "logger=jsonl", "data.seed=0",
             f"seed={seed}"]  # fmt: skip
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    if options.jobs > 1:
        env["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "ftcli", "train", *words, "--run-dir", str(run), "--resume", "--quiet"]
    subprocess.run(command, env=env, check=True)
    result = json.loads((run / "result.json").read_text())
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    result["memory"] = max(event["memory_bytes"] for event in events if event["event"] == "train")
    result["bytes"] = (run / "checkpoints" / "best" / "model.safetensors").stat().st_size
    print(f"{method} lr {lr} seed {seed}: {result['metrics']['accuracy']:.4f}", flush=True)
    return result


def write(results: dict[tuple[str, str, int], dict], options: argparse.Namespace) -> None:
    jobs = f"; {options.jobs} runs at a time, one core each" if options.jobs > 1 else ""
    arguments = f"--rows {options.rows} --epochs {options.epochs} --seeds {' '.join(map(str, options.seeds))} --jobs {options.jobs}"
    lines = [
        f"# Eleven ways to fine-tune MiniLM on {options.rows:,} rows of SST-2, {options.epochs} epochs",
        "",
        f"{conditions()} `python benchmarks/sst2_methods.py {arguments}`{jobs}.",
        "",
        f"Accuracy on the 872 rows of dev, best of the evaluations after each epoch: mean (standard deviation) over {len(options.seeds)} seeds. Rows/s: median.",
        "On disk: model.safetensors of a checkpoint, all that is needed beside the base. The lr is the best of those named on seed 0.",
        "",
        "| method | lr (tried) | accuracy | trains | share | rows/s | peak memory, MiB | on disk, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method in options.methods:
        _, lr, tried = METHODS[method]
        own = [results[method, lr, seed] for seed in options.seeds]
        scores = [one["metrics"]["accuracy"] for one in own]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        trained, total = own[0]["trainable_parameters"], own[0]["total_parameters"]
        rate = statistics.median(one["train"]["rows_per_s"] for one in own)
        memory = statistics.median(one["memory"] for one in own) / 2**20
        lines.append(
            f"| {method} | {lr} ({', '.join(tried)}) | {statistics.mean(scores):.4f} ({spread:.4f}) | {trained:,} | "
            f"{trained / total:.2%} | {rate:.0f} | {memory:,.0f} | {own[0]['bytes'] / 2**20:.2f} |"
        )
    publish("sst2_methods", [*lines, *PUBLISHED.rstrip().splitlines()])


if __name__ == "__main__":
    main()
