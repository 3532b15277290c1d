"""The lines of the speed table and the processes that run them."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import ROOT, minilm, run_peer
from prefix_cache import schedule
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
        """Returns what a run reported, with its place deleted."""
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
