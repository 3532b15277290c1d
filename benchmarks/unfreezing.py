"""Gradual unfreezing beside finetuning-scheduler 2.14 (Lightning): rows/s a phase, and time to an accuracy.

    FTCLI_DATA=DIR python benchmarks/unfreezing.py --peer-python PYTHON [--rows 640] [--repeats 3] [--seeds 1 2 3]

PYTHON is of an environment with the same torch and transformers, lightning, and finetuning-scheduler==2.14.1. MiniLM on
SST-2, batch 32, the model's dropout, fused AdamW, clipping at 1.0, batches grouped by length in both tools, fp32.

- rows/s: one schedule file of three phases (head; the two top layers and pooler; the rest), an epoch each, runs in both
  tools in turns. Only training steps count.
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

from machine import ROOT, conditions, data_folder, minilm, publish, spread

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

PEER = r"""
import json, random, sys, time, warnings, logging
spec = json.loads(sys.argv[1])
warnings.filterwarnings("ignore"); logging.disable(logging.WARNING)
import torch, lightning as L
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as hf
hf.set_verbosity_error()
from finetuning_scheduler import FinetuningScheduler, FTSCheckpoint, FTSEarlyStopping
L.seed_everything(spec["seed"])
tokenizer = AutoTokenizer.from_pretrained(spec["model"])
def read(path):
    lines = [l.split("\t") for l in open(path, encoding="utf-8").read().split("\n")[1:] if l]
    return [(tokenizer(t, truncation=True, max_length=64)["input_ids"], int(y)) for t, y in lines]
rows, dev = read(spec["train"]), read(spec["validation"])
def collate(batch):
    width = max(len(i) for i, _ in batch)
    ids = torch.tensor([i + [0] * (width - len(i)) for i, _ in batch])
    return ids, (ids != 0).long(), torch.tensor([y for _, y in batch])
class Grouped(torch.utils.data.Sampler):
    def __init__(self, rows, shuffle): self.rows, self.shuffle, self.epoch = rows, shuffle, 0
    def __len__(self): return -(-len(self.rows) // 32)
    def __iter__(self):
        order = list(range(len(self.rows))); draw = random.Random(self.epoch); self.epoch += 1
        if self.shuffle: draw.shuffle(order)
        chunks = [sorted(order[i:i + 1600], key=lambda r: len(self.rows[r][0])) for i in range(0, len(order), 1600)]
        batches = [c[i:i + 32] for c in chunks for i in range(0, len(c), 32)]
        if self.shuffle: draw.shuffle(batches)
        return iter(batches)
class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        # Transformers returns it in eval mode, and Lightning leaves modes as they are: without this, no dropout.
        self.model = AutoModelForSequenceClassification.from_pretrained(spec["model"], num_labels=2).train()
        self.no_decay = ["bias", "LayerNorm"]
        self.right = self.seen = 0
    def training_step(self, batch, _):
        ids, mask, y = batch
        return self.model(input_ids=ids, attention_mask=mask, labels=y).loss
    def validation_step(self, batch, _):
        ids, mask, y = batch
        out = self.model(input_ids=ids, attention_mask=mask, labels=y)
        self.log("val_loss", out.loss, batch_size=len(y)); self.right += int((out.logits.argmax(-1) == y).sum()); self.seen += len(y)
    def configure_optimizers(self):
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=spec["lr"], weight_decay=0.01, fused=True)
class Clock(L.Callback):
    def __init__(self): self.epochs, self.curve, self.depths = [], [], []
    def on_train_start(self, *_): self.began = time.perf_counter()
    # From the epoch's start, after the transition, to the end of its last batch: collation counts, as it does for ftcli.
    def on_train_epoch_start(self, trainer, module): self.start = time.perf_counter()
    def on_train_batch_end(self, *_): self.spent = time.perf_counter() - self.start
    def on_validation_end(self, trainer, module):
        if trainer.sanity_checking: module.right = module.seen = 0; return
        fts = next(c for c in trainer.callbacks if isinstance(c, FinetuningScheduler))
        self.epochs.append(self.spent); self.depths.append(fts.curr_depth)
        self.curve.append((time.perf_counter() - self.began, module.right / module.seen)); module.right = module.seen = 0
        reached = spec["target"] is not None and self.curve[-1][1] >= spec["target"]
        if reached or self.curve[-1][0] > spec["limit"]: trainer.should_stop = True; trainer.fit_loop.max_epochs = trainer.current_epoch + 1
clock = Clock()
fts = FinetuningScheduler(ft_schedule=spec["schedule"], base_max_lr=spec["lr"], epoch_transitions_only=spec["schedule"] is not None)
early = [] if spec["schedule"] else [FTSEarlyStopping(monitor="val_loss", patience=1)]
trainer = L.Trainer(accelerator="cpu", max_epochs=spec["epochs"], gradient_clip_val=1.0, logger=False, enable_progress_bar=False,
    enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=spec["out"],
    callbacks=[fts, FTSCheckpoint(dirpath=spec["out"], monitor="val_loss", save_top_k=1), *early, clock])
def loader(rows, shuffle):
    return torch.utils.data.DataLoader(rows, batch_sampler=Grouped(rows, shuffle), collate_fn=collate)
trainer.fit(Module(), loader(rows, True), loader(dev, False))
print(json.dumps({"epochs": clock.epochs, "curve": clock.curve, "depths": clock.depths}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--target", type=float, default=0.8)
    parser.add_argument("--limit", type=float, default=240)
    options = parser.parse_args()
    data = data_folder("sst2/train.tsv and sst2/dev.tsv")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sst2").mkdir()
        for part, source, count in (("train", "train", options.rows), ("validation", "dev", 400)):
            lines = (data / "sst2" / f"{source}.tsv").read_text(encoding="utf-8").splitlines()
            (folder / "sst2" / f"{part}.tsv").write_text(
                "\n".join(lines[: count + 1]) + "\n", encoding="utf-8"
            )
        (folder / "schedule.yaml").write_text(SCHEDULE)
        # Lightning's module holds the model as an attribute, and its names begin with it.
        theirs = SCHEDULE.replace("'classifier", "'model.classifier").replace("'bert", "'model.bert")
        (folder / "peer.yaml").write_text(theirs)
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
             "trainer.epochs=3", "trainer.log_every_n_steps=1000000", "seed=1"]  # fmt: skip
    lines = ours(folder, folder / f"phases-{number}", *words)
    return [line["rows_per_s"] for line in lines if line["event"] == "train"]


def theirs(folder: Path, options: argparse.Namespace, **spec: object) -> dict:
    rows = folder / "sst2"
    with tempfile.TemporaryDirectory() as out:
        own = {"model": str(minilm()), "train": str(rows / "train.tsv"), "validation": str(rows / "validation.tsv"), "out": out,
               "limit": options.limit, "target": None, "schedule": None, "epochs": 1000} | spec  # fmt: skip
        command = [options.peer_python, "-c", PEER, json.dumps(own)]
        done = subprocess.run(
            command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def theirs_by_phase(folder: Path, options: argparse.Namespace) -> list[float]:
    told = theirs(folder, options, schedule=str(folder / "peer.yaml"), epochs=3, seed=1, lr=1e-3)
    assert told["depths"] == [0, 1, 2], told["depths"]
    return [options.rows / seconds for seconds in told["epochs"]]


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
    told = theirs(folder, options, target=options.target, seed=seed, lr=LR)
    best = max(score for _, score in told["curve"])
    return next((seconds for seconds, score in told["curve"] if score >= options.target), None), best


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
