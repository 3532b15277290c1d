"""Rows/s of multiple choice and token classification with MiniLM: ftcli beside the tuned Trainer, interleaved, same work.

    FTCLI_DATA=DIR python benchmarks/task_speed.py [--choice-rows 160] [--token-rows 480] [--repeats 3]

CommonsenseQA (rows are questions with five choices) and WNUT-17 (rows are sentences). Same rows, max_length, the model's dropout, fused
AdamW, lr, linear decay, clipping at 1.0; batches of 16 questions and of 32 sentences; fp32. The Trainer groups rows by length
(`group_by_length`; of a question the length of its longest choice) and pads by Transformers' own collators. Each run is a process
of its own; the tools take turns. Rows / seconds from the first step to the end of the last: imports, tokenising, evaluation and
saving count for nobody. Accuracy is measured on the same 200 validation rows: of questions, and of the tags of first tokens.

DIR holds commonsenseqa/*_rand_split.jsonl and wnut17/*. Writes benchmarks/results/task_speed.md.
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
from typing import Any

from machine import ROOT, conditions, data_folder, minilm, publish, run_peer, spread

FILES = {
    "multiple-choice": ("commonsenseqa/train_rand_split.jsonl", "commonsenseqa/dev_rand_split.jsonl"),
    "token-classification": ("wnut17/wnut17train.conll", "wnut17/emerging.dev.conll"),
}
WORDS = {
    "multiple-choice": ["recipe=commonsenseqa-multiple-choice", "data=commonsenseqa-jsonl", "tokenizer.max_length=64",
                        "trainer.batch_size=16"],
    "token-classification": ["recipe=wnut17-ner", "data.format=conll", "tokenizer.max_length=64", "trainer.batch_size=32",
                             "trainer.patience=null", "task.metrics=[accuracy]"],
}  # fmt: skip

TRAINER = r"""
import json, sys, time
spec = json.loads(sys.argv[1])
import torch, transformers
from datasets import Dataset
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments
transformers.utils.logging.set_verbosity_error()
torch.manual_seed(1)
tokenizer = AutoTokenizer.from_pretrained(spec["model"])

def questions(file):
    rows = [json.loads(line) for line in open(file, encoding="utf-8")]
    for row in rows:
        choices = row["question"]["choices"]
        encoded = tokenizer([row["question"]["stem"]] * len(choices), [c["text"] for c in choices], truncation="longest_first", max_length=64)
        yield {**encoded, "labels": [c["label"] for c in choices].index(row["answerKey"]), "length": max(map(len, encoded["input_ids"]))}

def sentences(file):
    blocks = open(file, encoding="utf-8").read().split("\n\n")
    for block in filter(str.strip, blocks):
        words, tags = zip(*(line.split("\t")[:2] for line in block.splitlines() if line.strip()))
        encoded = tokenizer(list(words), is_split_into_words=True, truncation=True, max_length=64)
        before, labels = None, []
        for word in encoded.word_ids():
            labels.append(-100 if word is None or word == before else names.setdefault(tags[word].strip(), len(names)))
            before = word
        yield {**encoded, "labels": labels, "length": len(labels)}

names = {}
read, batch = (questions, 16) if spec["task"] == "multiple-choice" else (sentences, 32)
rows = [Dataset.from_list(list(read(spec[part]))) for part in ("train", "validation")]
if spec["task"] == "multiple-choice":
    model = transformers.AutoModelForMultipleChoice.from_pretrained(spec["model"])
    collate = transformers.DataCollatorForMultipleChoice(tokenizer)
else:
    model = transformers.AutoModelForTokenClassification.from_pretrained(spec["model"], num_labels=len(names))
    collate = transformers.DataCollatorForTokenClassification(tokenizer)
arguments = TrainingArguments(spec["out"], num_train_epochs=1, per_device_train_batch_size=batch, per_device_eval_batch_size=64,
    learning_rate=5e-5, weight_decay=0.01, max_grad_norm=1.0, lr_scheduler_type="linear", optim="adamw_torch_fused", adam_epsilon=1e-8,
    report_to="none", save_strategy="no", eval_strategy="no", logging_steps=10, disable_tqdm=True, seed=1, use_cpu=True,
    train_sampling_strategy="group_by_length", length_column_name="length")
class Clock(TrainerCallback):
    def on_train_begin(self, *_, **__): self.began = time.perf_counter()
    def on_epoch_end(self, *_, **__): self.seconds = time.perf_counter() - self.began
clock = Clock()
trainer = Trainer(model, arguments, callbacks=[clock], train_dataset=rows[0], processing_class=tokenizer, data_collator=collate)
trainer.train()
found = trainer.predict(rows[1])
counted = found.label_ids != -100
right = (found.predictions.argmax(-1) == found.label_ids)[counted].mean()
print(json.dumps({"training": len(rows[0]) / clock.seconds, "accuracy": float(right)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choice-rows", type=int, default=160)
    parser.add_argument("--token-rows", type=int, default=480)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    data = data_folder("commonsenseqa and wnut17")
    counts = {"multiple-choice": options.choice_rows, "token-classification": options.token_rows}
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for task, count in counts.items():
            folder = Path(name) / task
            folder.mkdir()
            files = {
                "train": cut(data, task, 0, count, folder),
                "validation": cut(data, task, 1, 200, folder),
            }
            runs: dict[str, list[dict[str, float]]] = {"ftcli": [], "Trainer tuned": []}
            for number in range(options.repeats):
                runs["ftcli"].append(run_ftcli(task, files, folder / f"run-{number}"))
                runs["Trainer tuned"].append(run_trainer(task, files, folder))
                print(
                    task,
                    {tool: [round(r["training"], 1) for r in got] for tool, got in runs.items()},
                    flush=True,
                )
            results[task] = runs
    write(results, counts, options)


def cut(data: Path, task: str, part: int, count: int, folder: Path) -> Path:
    """Writes the first `count` rows of a published file."""
    source = data / FILES[task][part]
    between = "\n" if task == "multiple-choice" else "\n\n"
    text = source.read_text(encoding="utf-8").replace("\n\t\n", "\n\n")
    target = folder / f"{part}{source.suffix}"
    target.write_text(between.join(text.split(between)[:count]) + between, encoding="utf-8")
    return target


def run_ftcli(task: str, files: dict[str, Path], run: Path) -> dict[str, float]:
    words = [*WORDS[task], "model=minilm", *(f"data.files.{part}={file}" for part, file in files.items()), "optimizer.lr=5e-5",
             "optimizer.eps=1e-8", "scheduler=linear", "scheduler.warmup=0", "trainer.epochs=1", "trainer.log_every_n_steps=10",
             "trainer.precision=fp32", "tokenizer.overlength=truncate", "logger=jsonl", "seed=1"]  # fmt: skip
    env = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "FTCLI_CACHE": str(run.parent / "cache"),
    }
    subprocess.run(
        [sys.executable, "-m", "ftcli", "train", *words, "--run-dir", str(run), "--quiet"],
        env=env,
        check=True,
    )
    result = json.loads((run / "result.json").read_text())
    return {"training": result["train"]["rows_per_s"], "accuracy": result["metrics"]["accuracy"]}


def run_trainer(task: str, files: dict[str, Path], folder: Path) -> dict[str, float]:
    what: dict[str, Any] = {"task": task, "model": str(minilm()), "out": str(folder / "trainer")}
    what |= {part: str(file) for part, file in files.items()}
    return run_peer(TRAINER, what, folder)


def write(
    results: dict[str, dict[str, list[dict[str, float]]]], counts: dict[str, int], options: argparse.Namespace
) -> None:
    lines = [
        "# Rows/s of multiple choice and token classification with MiniLM, beside Hugging Face's Trainer",
        "",
        conditions(),
        f"{options.repeats} interleaved runs: `python benchmarks/task_speed.py --choice-rows {options.choice_rows} --token-rows "
        f"{options.token_rows} --repeats {options.repeats}`.",
        "",
        "Medians, in brackets minimum and maximum; steps alone, fp32, the Trainer with group_by_length. Ratios are ftcli / peer, run by run.",
        "",
        "| task | rows | tool | rows/s | ratio | accuracy on 200 rows |",
        "|---|---|---|---|---|---|",
    ]
    for task, runs in results.items():
        mine = [r["training"] for r in runs["ftcli"]]
        for tool, got in runs.items():
            rates = [r["training"] for r in got]
            ratio = "" if tool == "ftcli" else spread([a / b for a, b in zip(mine, rates, strict=True)], 2)
            accuracy = statistics.mean(r["accuracy"] for r in got)
            lines.append(
                f"| {task} | {counts[task]} | {tool} | {spread(rates, 1)} | {ratio} | {accuracy:.3f} |"
            )
    publish("task_speed", lines)


if __name__ == "__main__":
    main()
