"""A plain PyTorch loop over a schedule file that neither skips nor keeps the frozen lower part: a script of the benchmarks.

Every parameter keeps requires_grad, so that each backward runs down to the embeddings and computes a gradient for every
weight; only the phase's parameters are clipped and stepped, and the other gradients are thrown away. All else is as in
ftcli: batches of rows of like length, fused AdamW with groups that join it phase by phase, no weight decay for biases
and norms, blocks in which nothing trains in eval mode (no dropout there), autocast where the precision is bf16, and an
evaluation and a checkpoint with optimizer state (safetensors) after every epoch.

Its argument is JSON; its last line is JSON as of hf_trainer.py.
"""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml
from rows import decayed, loader, read
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging


class Loop:
    """Model, optimizer and clocks of one run."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        torch.manual_seed(spec["seed"])
        tokenizer = AutoTokenizer.from_pretrained(spec["model"])
        self.train_rows, self.dev_rows = read(spec["train"], tokenizer), read(spec["validation"], tokenizer)
        self.model = AutoModelForSequenceClassification.from_pretrained(spec["model"]).to(spec["device"])
        self.optimizer: torch.optim.AdamW | None = None
        self.stepped: dict[str, torch.nn.Parameter] = {}
        self.tokens: list[torch.Tensor] = []
        self.losses: list[torch.Tensor] = []
        self.trainable: list[int] = []
        self.decayed: list[int] = []
        self.rows, self.seconds = 0, 0.0

    def enter(self, phase: dict[str, Any]) -> None:
        """Adds a phase's parameters to those that are stepped, and sets the modes of blocks."""
        lr, added = float(phase["lr"]), {}
        for name, weight in self.model.named_parameters():
            if name not in self.stepped and any(re.fullmatch(p, name) for p in phase["params"]):
                added[name] = weight
        self.stepped |= added
        for decay in (0.01, 0.0):
            kept = [w for n, w in added.items() if (n.endswith("bias") or "LayerNorm" in n) == (decay == 0.0)]
            if kept:
                self._join({"params": kept, "lr": lr, "weight_decay": decay})
        assert self.optimizer is not None
        self.trainable.append(sum(weight.numel() for weight in self.stepped.values()))
        self.decayed.append(decayed(self.optimizer))

    def _join(self, group: dict[str, Any]) -> None:
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW([group], eps=1e-8, fused=True)
        else:
            self.optimizer.add_param_group(group)

    def set_modes(self) -> None:
        base = self.model.base_model
        self.model.train()
        blocks = {f"encoder.layer.{n}": block for n, block in enumerate(base.encoder.layer)}
        for name, block in (blocks | {"embeddings": base.embeddings, "pooler": base.pooler}).items():
            prefix = f"{self.model.base_model_prefix}.{name}."
            if not any(own.startswith(prefix) for own in self.stepped):
                block.eval()

    def precision(self) -> AbstractContextManager[Any]:
        if self.spec["precision"] == "fp32":
            return nullcontext()
        return torch.autocast(self.spec["device"], dtype=torch.bfloat16)

    def now(self) -> float:
        if self.spec["device"] == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def epoch(self, batches: Any) -> None:
        """Trains on all batches; from the first collation to the end of the last step."""
        assert self.optimizer is not None
        began = self.now()
        self.set_modes()
        for batch in batches:
            if not self.tokens:
                self.first = time.monotonic()
            batch = {name: tensor.to(self.spec["device"]) for name, tensor in batch.items()}
            with self.precision():
                loss = self.model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(self.stepped.values()), 1.0)
            self.optimizer.step()
            self.model.zero_grad(set_to_none=True)
            self.tokens.append(batch["attention_mask"].sum())
            self.rows += len(batch["labels"])
            if len(self.losses) < 3:
                self.losses.append(loss.detach())
        self.seconds += self.now() - began

    @torch.no_grad()
    def accuracy(self, batches: Any) -> float:
        self.model.eval()
        right = 0
        for batch in batches:
            batch = {name: tensor.to(self.spec["device"]) for name, tensor in batch.items()}
            with self.precision():
                right += int((self.model(**batch).logits.argmax(-1) == batch["labels"]).sum())
        return right / len(self.dev_rows)

    def save(self, number: int) -> None:
        assert self.optimizer is not None
        folder = Path(self.spec["out"]) / f"epoch-{number}"
        folder.mkdir(parents=True)
        save_file({n: w.detach().contiguous() for n, w in self.model.named_parameters()}, folder / "model.safetensors")  # fmt: skip
        moments = {
            f"{name}.{key}": value
            for name, weight in self.stepped.items()
            for key, value in self.optimizer.state[weight].items()
        }
        save_file(moments, folder / "optimizer.safetensors")

    def run(self) -> dict[str, Any]:
        """Goes through the schedule; phases end at their max_transition_epoch."""
        began, done = self.now(), 0
        batches = loader(self.train_rows, grouped=True, shuffle=True)
        dev = loader(self.dev_rows, grouped=True, shuffle=False)
        schedule = yaml.safe_load(Path(self.spec["schedule"]).read_text(encoding="utf-8"))
        for phase in schedule.values():
            self.enter(phase)
            while done < phase["max_transition_epoch"]:
                self.epoch(batches)
                accuracy = self.accuracy(dev)
                done += 1
                self.save(done)
        cuda = self.spec["device"] == "cuda"
        return {
            "training_seconds": self.seconds,
            "whole_seconds": self.now() - began,
            "rows": self.rows,
            "tokens": int(sum(self.tokens)),
            "steps": len(self.tokens),
            "accuracy": accuracy,
            "first": self.first,
            "losses": [float(loss) for loss in self.losses],
            "trainable": self.trainable,
            "decayed": self.decayed,
            "precision": self.spec["precision"],
            "device_bytes": torch.cuda.max_memory_allocated() if cuda else 0,
            "versions": {},
        }


if __name__ == "__main__":
    logging.set_verbosity_error()
    print(json.dumps(Loop(json.loads(sys.argv[1])).run()))
