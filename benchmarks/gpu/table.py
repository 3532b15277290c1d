"""The lines of the GPU table: what each runs, and how they are shown."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": ["c_attn"], "fan_in_fan_out": True}
TUNED = {"train_sampling_strategy": "group_by_length"}
HEAD = [
    "",
    "rows/s of training",
    "useful tokens/s",
    "rows/s of the whole loop",
    "device memory",
    "precision",
    "steps",
    "accuracy",
]


def rows_of(
    out: Path, made: dict[str, Any], device: str, repetition: int
) -> list[tuple[str, str, dict[str, Any]]]:
    """Returns name, script of peers/ and its argument, for each line of the table."""
    words = ["recipe=sst2-full", "model=local", f"model.path={made['model']}", f"data.path={made['rows']}", "optimizer.eps=1e-8",
             "scheduler.warmup=0", "scheduler=linear", "tokenizer.max_length=64", "trainer.batch_size=32", f"trainer.device={device}",
             "trainer.epochs=1", "tokenizer.overlength=truncate", "trainer.log_every_n_steps=10", "logger=jsonl", "seed=1",
             "data.accept=[overlap,truncation,balance]"]  # fmt: skip
    targets = ",".join(LORA["target_modules"])
    lora = [f"peft.{name}={LORA[name]}" for name in ("r", "lora_alpha", "lora_dropout")] + [
        f"peft.target_modules=[{targets}]"
    ]
    peer = {"model": made["model"], "train": f"{made['rows']}/train.tsv", "validation": f"{made['rows']}/validation.tsv",
            "device": device, "seed": 1, "epochs": 1, "log_every": 10, "cache": str(out / "hf"),
            "options": TUNED | ({"bf16": True} if device == "cuda" else {})}  # fmt: skip

    def ours(name: str, *more: str) -> dict[str, Any]:
        return {"words": [*words, *more], "run": str(out / "runs" / f"{name}-{repetition}")}

    def trainer(name: str, rate: float, adapter: dict[str, Any] | None) -> dict[str, Any]:
        return peer | {"out": str(out / "runs" / f"{name}-{repetition}"), "lr": rate, "lora": adapter}

    return [
        ("full, ftcli", "ours", ours("full-ftcli", "optimizer.lr=5e-5")),
        ("full, Trainer, tuned", "hf_trainer", trainer("full-trainer", 5e-5, None)),
        ("lora, ftcli", "ours", ours("lora-ftcli", "peft=lora", *lora, "optimizer.lr=5e-4")),
        ("lora, Trainer, tuned, peft", "hf_trainer", trainer("lora-trainer", 5e-4, LORA)),
    ]


def write(rows: Path, to: Path) -> None:
    """Writes the table of a file of rows."""
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    one = {row["row"]: row for row in found}
    lines = ["# On a GPU", ""]
    if "machine" in one and "failed" not in one["machine"]:
        lines += [conditions(one["machine"]), ""]
    if "tier" in one:
        lines += [tests(one["tier"]), ""]
    runs = [row for row in found if row["row"] == "throughput"]
    if runs:
        lines += ["GPT-2 with random weights, one epoch, batch 32, at most 64 tokens; the median of the repetitions.", "",
                  f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]  # fmt: skip
        lines += [
            f"| {' | '.join(cells([row for row in runs if row['name'] == name]))} |"
            for name in dict.fromkeys(row["name"] for row in runs)
        ]
    to.write_text("\n".join(lines) + "\n")


def conditions(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    rehearsal = "A rehearsal on the CPU, no figures: " if machine["rehearsal"] else ""
    return (f"{rehearsal}{machine['device']}, Python {machine['python']}, {versions}, commit {machine['commit'] or 'unknown'}. "
            f"Missing: {', '.join(machine['missing']) or 'nothing'}. `make gpu`.")  # fmt: skip


def tests(row: dict[str, Any]) -> str:
    if "passed" not in row:
        return f"`pytest --device cuda`: ended with {row['code']} after {row['seconds']:.0f} s, before its report."
    failed = "".join(f"\n- {name}" for name in row["which"])
    return (f"`pytest --device cuda`: {row['passed']} passed, {row['failed']} failed, {row['skipped']} skipped, "
            f"{row['seconds']:.0f} s.{failed}")  # fmt: skip


def cells(runs: list[dict[str, Any]]) -> list[str]:
    """Returns the cells of one line, the median of its repetitions."""
    well = [run for run in runs if "failed" not in run]
    if not well:
        return [runs[0]["name"], f"failed with {runs[0]['failed']}", *[""] * (len(HEAD) - 2)]

    def rate(what: str, seconds: str) -> str:
        return f"{statistics.median(run[what] / run[seconds] for run in well):,.0f}"

    last = well[-1]
    return [last["name"], rate("rows", "training_seconds"), rate("tokens", "training_seconds"), rate("rows", "whole_seconds"),
            f"{last['device_bytes'] / 2**30:.2f} GiB" if last["device_bytes"] else "", last["precision"], str(last["steps"]),
            f"{last['accuracy']:.3f}"]  # fmt: skip
