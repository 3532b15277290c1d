"""ftcli beside Hugging Face's Trainer, peft and finetuning-scheduler on the same work: one table.

    FTCLI_DATA=DIR python benchmarks/speed.py [--repeats 3] [--rows 1600] [--schedule-rows 800] [--only full lora schedule] [--no-compile]
        [--peer-python PYTHON] [--accuracy-seeds 1 2 3] [--accuracy-rows 8000] [--device cpu|cuda] [--threads N]

MiniLM on the first rows of SST-2: the same model folder (its head drawn once), rows, batch 32, max_length 64, the model's
dropout, clipping at 1.0, fused AdamW with eps 1e-8, lr and decay. Each run is a process of its own; each repetition
runs every row once, in turn. DIR holds sst2/train.tsv and sst2/dev.tsv.

- full: all weights, an epoch, lr 5e-5 falling to 0. The Trainer with its default arguments (fp32, random order); tuned
  (group_by_length, fused AdamW, bf16 where the CPU or GPU has it natively); tuned with torch_compile, from a cold cache.
- lora: rank 8 on query and value and the head, lr 5e-4 falling to 0; the tuned Trainer with peft.
- schedule: three phases (head; the two top layers and the pooler too; the four top layers too) of --phase-epochs each,
  constant lr. ftcli keeps the frozen layers' activations, or with prefix_cache=off computes them in each step; peers/plain_loop.py
  neither skips nor keeps them; finetuning-scheduler as it comes (random order) and with batches of like length, in the
  environment of --peer-python: the same torch and transformers, lightning, and finetuning-scheduler==2.14.1.

Columns: `training` counts steps alone, `whole loop` evaluations on --dev rows and checkpoints after each epoch too. For ftcli
training is the loop's time less evaluations and saves, so that planning batches, changing phases and computing the kept
activations count, and its whole loop holds a second scoring of a best checkpoint that is not the last; for the Trainer it is the time between
on_epoch_begin and on_epoch_end, for Lightning from an epoch's start to its last batch. Useful tokens are those that are
not padding. Peak memory is the largest resident set of the process, start-up the seconds from the start of the process to its first
training step (imports, reading, tokenising, of ftcli's schedule the activations too; the first repetition fills the tools' caches). The share of the roofline is useful tokens/s
x operations a token of a whole forward and backward (roofline.py) / the peak of torch.matmul in the precision used
(peers/machine_probe.py); what a tool leaves out, such as the top block's other tokens, counts as done.

Before anything is timed every tool makes three steps on the same 32 rows without dropout: losses, steps, tokens, trained
and decayed weights must be the same, or the program ends.

--accuracy-seeds trains --accuracy-rows rows with each seed (head, order, dropout), one epoch, and scores all of dev.

Writes benchmarks/results/speed.md, anew after each repetition; with --only its name tells the parts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import ROOT, first_rows, minilm, run_peer
from prefix_cache import schedule
from speed_table import check_work, write
from unfreezing import named_in_lightning

PEERS = ROOT / "benchmarks" / "peers"
LR = {"full": 5e-5, "lora": 5e-4, "schedule": 1e-3}
LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": ["query", "value"]}
DEV = 872
"""Rows of SST-2's dev."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A line of the table; a key by identity."""

    part: str
    name: str
    tool: str
    """Script of peers/ that runs it."""
    own: dict[str, Any]
    """What sets it apart: the Trainer's arguments, ftcli's prefix_cache, a peer's `grouped`."""
    missing: str = ""
    """Why it is not run; empty: it is."""

    @property
    def slug(self) -> str:
        return f"{self.part}-{self.name}".replace(" ", "-").replace(",", "").replace("=", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What all tools do alike."""

    model: Path
    rows: Path
    epochs: int
    """Of each phase."""
    seed: int
    dropout: bool = True


def rows_of(options: argparse.Namespace, probe: dict[str, Any]) -> list[Row]:
    """Returns the table's lines, those that cannot run here too."""
    tuned = {"train_sampling_strategy": "group_by_length"} | ({"bf16": True} if probe["bf16"] else {})
    compiler = "" if probe["compiler"] else "not run: no compiler"
    compiler = "not run: --no-compile" if options.no_compile else compiler
    python = "" if options.peer_python else "not run: no --peer-python"
    everything = [
        Row("full", "ftcli", "ours", {}),
        Row("full", "Trainer, default", "hf_trainer", {}),
        Row("full", "Trainer, tuned", "hf_trainer", tuned),
        Row("full", "Trainer, tuned, torch_compile", "hf_trainer", tuned | {"torch_compile": True}, compiler),
        Row("lora", "ftcli", "ours", {}),
        Row("lora", "Trainer, tuned, peft", "hf_trainer", tuned),
        Row("schedule", "ftcli", "ours", {"prefix_cache": "auto"}),
        Row("schedule", "ftcli, prefix_cache=off", "ours", {"prefix_cache": "off"}),
        Row("schedule", "plain loop, neither", "plain_loop", {}),
        Row("schedule", "finetuning-scheduler", "lightning_fts", {"grouped": False}, python),
        Row("schedule", "finetuning-scheduler, like lengths", "lightning_fts", {"grouped": True}, python),
    ]
    return [row for row in everything if row.part in options.only]


class Bench:
    """Runs lines of the table in processes of their own, in one folder."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder, self.runs = options, folder, 0
        self.env = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "benchmarks")))}
        self.probe = self.peer("machine_probe", {"device": options.device}, folder)
        self.rows = rows_of(options, self.probe)

    def peer(self, tool: str, what: dict[str, Any], place: Path, **more: str) -> dict[str, Any]:
        python = (self.options.peer_python if tool == "lightning_fts" else None) or sys.executable
        return run_peer(PEERS / f"{tool}.py", what, place, python=python, env=self.env | more)

    def start(self, name: str, seed: int, rows: Path, **changes: float) -> tuple[Path, dict[str, Any]]:
        """Makes a model folder; returns it and the counts of the rows' tokens."""
        to = self.folder / name
        what = {"model": str(minilm()), "to": str(to), "seed": seed, "train": str(rows / "train.tsv")}
        return to, self.peer("start", what | changes, self.folder)

    def run(self, row: Row, work: Work) -> dict[str, Any]:
        """Returns what a run told, with its place deleted."""
        self.runs += 1
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=f"{self.runs:03}-") as name:
            place = Path(name)
            # Tokens are found again in the next repetition, kept activations are not.
            kept = place if row.part == "schedule" else self.folder / "caches" / row.slug
            kept.mkdir(parents=True, exist_ok=True)
            what = self._ours(row, work, place) if row.tool == "ours" else self._peers(row, work, place, kept)
            more = {"FTCLI_CACHE": str(kept / "ftcli"), "TORCHINDUCTOR_CACHE_DIR": str(place / "inductor")}
            return self.peer(row.tool, what, place, **more)

    def _ours(self, row: Row, work: Work, place: Path) -> dict[str, Any]:
        words = ["model=minilm", f"model.path={work.model}", f"data.path={work.rows}", "optimizer.eps=1e-8", "scheduler.warmup=0",
                 "tokenizer.max_length=64", "trainer.batch_size=32", f"trainer.device={self.options.device}",
                 f"trainer.log_every_n_steps={10 if work.dropout else 1}", f"seed={work.seed}", "logger=jsonl",
                 f"optimizer.lr={LR[row.part]}"]  # fmt: skip
        if row.part == "schedule":
            file = place / "schedule.yaml"
            file.write_text(schedule(work.epochs))
            words += ["recipe=sst2-full", "scheduler=constant", "freezing=schedule", f"freezing.file={file}", f"trainer.epochs={3 * work.epochs}",
                      "freezing.epoch_transitions_only=true", "trainer.monitor=loss", f"trainer.prefix_cache={row.own['prefix_cache']}"]  # fmt: skip
        else:
            words += [f"recipe=sst2-{row.part}", "scheduler=linear", f"trainer.epochs={work.epochs}"]
        if row.part == "lora":
            lora = self._lora(work)
            words += [f"peft.{name}={value}" for name, value in lora.items() if name != "target_modules"]
            words.append(f"peft.target_modules=[{','.join(lora['target_modules'])}]")
        return {"words": words, "run": str(place / "run")}

    def _lora(self, work: Work) -> dict[str, Any]:
        return LORA if work.dropout else LORA | {"lora_dropout": 0.0}

    def _peers(self, row: Row, work: Work, place: Path, kept: Path) -> dict[str, Any]:
        what = {"model": str(work.model), "train": str(work.rows / "train.tsv"), "validation": str(work.rows / "validation.tsv"),
                "out": str(place / "out"), "device": self.options.device, "seed": work.seed, "lr": LR[row.part]}  # fmt: skip
        if row.tool == "hf_trainer":
            lora = self._lora(work) if row.part == "lora" else None
            return what | {"options": row.own, "lora": lora, "epochs": work.epochs, "cache": str(kept / "hf"),
                           "log_every": 10 if work.dropout else 1}  # fmt: skip
        file, text = place / "schedule.yaml", schedule(work.epochs)
        file.write_text(named_in_lightning(text) if row.tool == "lightning_fts" else text)
        precision = "bf16" if self.probe["bf16"] else "fp32"
        return what | row.own | {"schedule": str(file), "precision": precision, "epochs": 3 * work.epochs,
                                 "limit": None, "target": None}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1600)
    parser.add_argument("--schedule-rows", type=int, default=800)
    parser.add_argument("--dev", type=int, default=200)
    parser.add_argument("--phase-epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(LR), default=list(LR))
    parser.add_argument(
        "--no-compile", action="store_true", help="leave the compiled Trainer out: minutes a run"
    )
    parser.add_argument("--peer-python")
    parser.add_argument("--accuracy-seeds", type=int, nargs="+", default=[])
    parser.add_argument("--accuracy-rows", type=int, default=8000)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(options, Path(name))
        compared = compare(bench)
        works, lengths = timed_work(bench)
        found: dict[Row, list[dict[str, Any]]] = {row: [] for row in bench.rows if not row.missing}
        peaks = [bench.probe["peak"]]
        for number in range(options.repeats):
            began = time.monotonic()
            for row, runs in found.items():
                runs.append(bench.run(row, works[row.part]))
                say(row, runs[-1])
            peaks.append(bench.peer("machine_probe", {"device": options.device}, bench.folder)["peak"])
            print(f"repetition {number + 1}: {time.monotonic() - began:.0f} s", flush=True)
            write(bench, found, peaks, lengths, compared, {})
        if options.accuracy_seeds:
            write(bench, found, peaks, lengths, compared, accuracies(bench))


def say(row: Row, run: dict[str, Any]) -> None:
    rates = (run["rows"] / run[f"{name}_seconds"] for name in ("training", "whole"))
    print(f"{row.part}: {row.name}", *(f"{rate:.1f}" for rate in rates), f"{run['accuracy']:.3f}", flush=True)


def timed_work(bench: Bench) -> tuple[dict[str, Work], dict[str, float]]:
    """Returns the work of each part, and its rows' lengths as roofline.py asks for them."""
    options, works, lengths = bench.options, {}, {}
    for part in options.only:
        count = options.schedule_rows if part == "schedule" else options.rows
        rows = first_rows(bench.folder / part, count, options.dev)
        model, counts = bench.start(f"model-{part}", 1, rows)
        epochs = options.phase_epochs if part == "schedule" else 1
        works[part] = Work(model=model, rows=rows, epochs=epochs, seed=1)
        lengths[part] = counts["squares"] / counts["tokens"]
    return works, lengths


def compare(bench: Bench) -> dict[Row, dict[str, Any]]:
    """Lets every tool make three steps on the same 32 rows without dropout; ends where the work is not the same."""
    rows = first_rows(bench.folder / "compared", 32, 32)
    model, _ = bench.start("model-compared", 1, rows, dropout=0.0)
    found = {}
    for row in bench.rows:
        if not row.missing and "torch_compile" not in row.own:
            epochs = 1 if row.part == "schedule" else 3
            found[row] = bench.run(row, Work(model=model, rows=rows, epochs=epochs, seed=1, dropout=False))
    check_work(found)
    return found


def accuracies(bench: Bench) -> dict[Row, list[float]]:
    """Trains on more rows with each seed, and returns the accuracy on all of dev."""
    options = bench.options
    rows = first_rows(bench.folder / "accuracy", options.accuracy_rows, DEV)
    compared = [row for row in bench.rows if row.name in ("ftcli", "Trainer, tuned", "Trainer, tuned, peft")]
    found: dict[Row, list[float]] = {row: [] for row in compared if row.part != "schedule"}
    for seed in options.accuracy_seeds:
        model, _ = bench.start(f"model-seed-{seed}", seed, rows)
        for row, scores in found.items():
            run = bench.run(row, Work(model=model, rows=rows, epochs=1, seed=seed))
            scores.append(run["accuracy"])
            say(row, run)
    return found


if __name__ == "__main__":
    main()
