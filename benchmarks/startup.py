"""From the command to the first training step: ftcli beside a plain script with Hugging Face's Trainer, interleaved.

    FTCLI_DATA=DIR python benchmarks/startup.py [--repeats 5] [--rows 1600]

Same model folder, files, rows, batch and optimizer; no training beyond the first step. Each run is a process of its own; the
tools take turns. `cold` has an empty cache of rows (FTCLI_CACHE; datasets' cache_dir), `warm` that of a run before. Files
of Python and of the model are in the page cache: one run of each tool goes ahead and does not count. Figures:

- to the first step: from the start of the process to the moment the first step begins, wall seconds;
- CPU: user and system seconds of the process until then, which other programs on the machine do not touch as much;
- first step done: wall seconds to the end of that step.

ftcli does more meanwhile: it checks every text, proves the data contract on the model, hashes weights and rows and writes the run
directory. DIR holds sst2/train.tsv and sst2/dev.tsv. Writes benchmarks/results/startup.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import ROOT, conditions, data_folder, minilm, publish, run_peer, spread

CLOCK = r"""
import json, os, resource, sys, time
spec = json.loads(sys.argv[1])
moments = []
def passed():
    # The first call is the beginning of step 1, the second its end, and of this process.
    used = resource.getrusage(resource.RUSAGE_SELF)
    moments.append((time.time() - spec["began"], used.ru_utime + used.ru_stime))
    if len(moments) == 2:
        print(json.dumps({"begin": moments[0][0], "cpu": moments[0][1], "done": moments[1][0]}), flush=True)
        os._exit(0)
"""

FTCLI = (
    CLOCK
    + r"""
os.environ["FTCLI_CACHE"] = spec["cache"]
sys.path.insert(0, spec["root"])
sys.argv = ["ftcli", "train", *spec["words"], "--quiet", "--run-dir", spec["out"]]
from ftcli.trainer.signals import StopFlag
StopFlag.check = lambda self: passed()  # asked before each step
from ftcli.cli.app import main
main()
"""
)

TRAINER = (
    CLOCK
    + r"""
from datasets import load_dataset
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer, TrainerCallback,
    TrainingArguments)
from transformers.utils import logging
logging.set_verbosity_error()
tokenizer = AutoTokenizer.from_pretrained(spec["model"])
files = {"train": spec["train"], "validation": spec["validation"]}
rows = load_dataset("csv", data_files=files, delimiter="\t", quoting=3, cache_dir=spec["cache"])
rows["train"] = rows["train"].shuffle(seed=42).select(range(spec["rows"]))
rows = rows.map(lambda r: tokenizer(r["sentence"], truncation=True), batched=True, remove_columns=["sentence"])
model = AutoModelForSequenceClassification.from_pretrained(spec["model"], num_labels=2)
arguments = TrainingArguments(spec["out"], num_train_epochs=3, per_device_train_batch_size=32, learning_rate=1e-5, weight_decay=0.01,
    adam_epsilon=1e-4, max_grad_norm=1.0, lr_scheduler_type="constant", optim="adamw_torch_fused", report_to="tensorboard",
    save_strategy="epoch", eval_strategy="epoch", logging_steps=10, disable_tqdm=True, seed=42, use_cpu=True)
class Clock(TrainerCallback):
    def on_step_begin(self, *_, **__): passed()
    def on_step_end(self, *_, **__): passed()
Trainer(model, arguments, callbacks=[Clock()], train_dataset=rows["train"], eval_dataset=rows["validation"], processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer)).train()
"""
)

Runs = dict[str, list[dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1600)
    options = parser.parse_args()
    data = data_folder("sst2/train.tsv and sst2/dev.tsv") / "sst2"
    results: dict[str, Runs] = {kind: {"ftcli": [], "Trainer": []} for kind in ("cold", "warm")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.repeats + 1):
            for kind, runs in results.items():
                for tool in runs:
                    cache = folder / (f"{tool}-{number}" if kind == "cold" else f"{tool}-0")
                    figures = start(tool, data, folder, cache, options.rows)
                    if number:  # the first round fills the page cache, and the warm caches
                        runs[tool].append(figures)
            if number:
                last = {
                    (k, t): round(r[-1]["cpu"], 1) for k, runs in results.items() for t, r in runs.items()
                }
                print(f"CPU seconds of round {number}: {last}", flush=True)
    write(results, options)


def start(tool: str, data: Path, folder: Path, cache: Path, rows: int) -> dict[str, float]:
    """Starts a tool and returns when its first step began and ended."""
    out = folder / f"out-{time.monotonic_ns()}"
    what: dict[str, Any] = {"cache": str(cache), "out": str(out), "rows": rows}
    if tool == "ftcli":
        words = ["recipe=sst2-full", "model=minilm", f"data.path={data}", f"data.limit_train={rows}",
                 "trainer.device=cpu", "trainer.precision=fp32"]  # fmt: skip
        what |= {"root": str(ROOT), "words": words}
    else:
        what |= {
            "model": str(minilm()),
            "train": str(data / "train.tsv"),
            "validation": str(data / "dev.tsv"),
        }
    return run_peer(FTCLI if tool == "ftcli" else TRAINER, what | {"began": time.time()}, folder)


def write(results: dict[str, Runs], options: argparse.Namespace) -> None:
    lines = [
        "# From the command to the first training step, beside Hugging Face's Trainer",
        "",
        conditions(),
        f"{options.rows} rows drawn from SST-2's training file, MiniLM, {options.repeats} interleaved runs: "
        f"`python benchmarks/startup.py --rows {options.rows} --repeats {options.repeats}`.",
        "",
        "Medians in seconds, in brackets minimum and maximum. Ratios are ftcli / Trainer, run by run: below 1 ftcli is there first.",
        "",
        "| cache of rows | tool | to the first step | ratio | CPU | ratio | first step done | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, runs in results.items():
        for tool, found in runs.items():
            cells = [kind, tool]
            for figure in ("begin", "cpu", "done"):
                pairs = zip(runs["ftcli"], runs["Trainer"], strict=True)
                ratios = [mine[figure] / its[figure] for mine, its in pairs]
                cells += [
                    spread([one[figure] for one in found], 1),
                    spread(ratios, 2) if tool == "ftcli" else "",
                ]
            lines.append(f"| {' | '.join(cells)} |")
    publish("startup", lines)


if __name__ == "__main__":
    main()
