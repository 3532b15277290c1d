"""Rows/s on SST-2 with MiniLM: ftcli beside Hugging Face's Trainer, interleaved, same work.

    FTCLI_DATA=DIR python benchmarks/sst2_speed.py [--rows 1600] [--repeats 3] [--device cpu] [--peers tuned-fp32 ...]

Same rows, batch 32, max_length, the model's dropout, fused AdamW, lr, linear decay, clipping at 1.0, and one evaluation of
the same 200 rows and one checkpoint with optimizer state at the end. Each run is a process of its own; ftcli and its
peers take turns. Imports and tokenising count for nobody. Two figures, each rows / seconds:

- training: from the first step to the end of the last. For ftcli result.json's train.rows_per_s, the sum of its steps;
- all: the whole loop with evaluation and saving. For ftcli wall_seconds, which also holds its second scoring of the best
  checkpoint; for the Trainer the wall time of train().

DIR holds sst2/train.tsv and sst2/dev.tsv. Writes benchmarks/results/sst2_speed.md.
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

from machine import ROOT, conditions, data_folder, minilm, publish, run_peer, spread

PEERS = {
    "default": {},
    "tuned-bf16": {"bf16": True, "train_sampling_strategy": "group_by_length"},
    "tuned-fp32": {"train_sampling_strategy": "group_by_length"},
}
"""Peer -> arguments of transformers.TrainingArguments. `tuned-fp32` is the fair one on CPUs without native bf16, where
`tuned-bf16` emulates it and takes many times as long."""

TRAINER = r"""
import json, sys, time
spec = json.loads(sys.argv[1])
import torch
from datasets import load_dataset
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer, TrainerCallback,
    TrainingArguments)
from transformers.utils import logging
logging.set_verbosity_error()
torch.manual_seed(1)
tokenizer = AutoTokenizer.from_pretrained(spec["model"])
files = {"train": spec["train"], "validation": spec["validation"]}
rows = load_dataset("csv", data_files=files, delimiter="\t", quoting=3, cache_dir=spec["cache"])
rows = rows.map(lambda r: tokenizer(r["sentence"], truncation=True, max_length=64), batched=True, remove_columns=["sentence"])
model = AutoModelForSequenceClassification.from_pretrained(spec["model"], num_labels=2)
arguments = TrainingArguments(spec["out"], num_train_epochs=1, per_device_train_batch_size=32, per_device_eval_batch_size=64,
    learning_rate=5e-5, weight_decay=0.01, max_grad_norm=1.0, lr_scheduler_type="linear", optim="adamw_torch_fused", adam_epsilon=1e-8, report_to="none",
    save_strategy="epoch", eval_strategy="epoch", logging_steps=10, disable_tqdm=True, seed=1, use_cpu=spec["device"] == "cpu",
    **spec["options"])
def accuracy(output):
    return {"accuracy": float((output.predictions.argmax(-1) == output.label_ids).mean())}
class Clock(TrainerCallback):
    # The epoch ends before its evaluation and its save begin.
    def on_train_begin(self, *_, **__): self.began = time.perf_counter()
    def on_epoch_end(self, *_, **__): self.seconds = time.perf_counter() - self.began
clock = Clock()
trainer = Trainer(model, arguments, callbacks=[clock], train_dataset=rows["train"], eval_dataset=rows["validation"], processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer), compute_metrics=accuracy)
began = time.perf_counter()
trainer.train()
seconds = time.perf_counter() - began
score = [l["eval_accuracy"] for l in trainer.state.log_history if "eval_accuracy" in l][-1]
count = len(rows["train"])
print(json.dumps({"training": count / clock.seconds, "all": count / seconds, "accuracy": score}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    data = data_folder("sst2/train.tsv and sst2/dev.tsv")
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
            results["ftcli"].append(run_ftcli(folder, number, options.device))
            for peer in options.peers:
                results[peer].append(run_trainer(folder, peer, options.device))
            print(
                {name: [round(r["training"], 1) for r in runs] for name, runs in results.items()},
                flush=True,
            )
    write(results, options)


def run_ftcli(folder: Path, number: int, device: str) -> dict[str, float]:
    run = folder / f"run-{number}"
    words = ["recipe=sst2-full", "model=minilm", f"data.path={folder / 'sst2'}", "optimizer.lr=5e-5", "optimizer.eps=1e-8",
             "scheduler=linear", "scheduler.warmup=0", "tokenizer.max_length=64", "trainer.epochs=1",
             "trainer.log_every_n_steps=10", f"trainer.device={device}", "logger=jsonl", "seed=1"]  # fmt: skip
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "FTCLI_CACHE": str(folder / "cache")}
    subprocess.run(
        [sys.executable, "-m", "ftcli", "train", *words, "--run-dir", str(run), "--quiet"],
        env=env,
        check=True,
        cwd=folder,
    )
    result = json.loads((run / "result.json").read_text())
    return {
        "training": result["train"]["rows_per_s"],
        "all": result["train"]["rows"] / result["wall_seconds"],
        "accuracy": result["metrics"]["accuracy"],
    }


def run_trainer(folder: Path, peer: str, device: str) -> dict[str, float]:
    model = minilm()
    rows = folder / "sst2"
    what = {"model": str(model), "train": str(rows / "train.tsv"), "validation": str(rows / "validation.tsv"),
            "cache": str(folder / "hf"), "out": str(folder / "trainer"), "options": PEERS[peer],
            "device": device}  # fmt: skip
    return run_peer(TRAINER, what, folder)


def write(results: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    lines = [
        "# Rows/s on SST-2 with MiniLM, beside Hugging Face's Trainer",
        "",
        conditions(options.device),
        f"{options.rows} rows, {options.repeats} interleaved runs: `python benchmarks/sst2_speed.py --rows {options.rows} "
        f"--repeats {options.repeats} --device {options.device} --peers {' '.join(options.peers)}`.",
        "",
        "Medians, in brackets minimum and maximum. Training: steps alone. All: with evaluation and saving; ftcli's also holds a",
        "second scoring of the best checkpoint. Ratios are ftcli / peer, run by run.",
        "",
        "| tool | training rows/s | ratio | all rows/s | ratio | accuracy on 200 rows |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in results.items():
        cells = [name if name == "ftcli" else f"Trainer {name}"]
        for figure in ("training", "all"):
            rates = [r[figure] for r in runs]
            mine = [r[figure] for r in results["ftcli"]]
            ratios = [a / b for a, b in zip(mine, rates, strict=True)]
            cells += [spread(rates, 1), "" if name == "ftcli" else spread(ratios, 2)]
        cells.append(f"{statistics.mean(r['accuracy'] for r in runs):.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    publish("sst2_speed", lines)


if __name__ == "__main__":
    main()
