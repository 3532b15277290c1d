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

Writes benchmarks/results/speed.md, again after each repetition; with --only its name has the parts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import first_rows
from speed_rows import DEV, LR, Bench, Row, Work
from speed_table import check_work, write


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
