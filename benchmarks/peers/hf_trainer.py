"""Hugging Face's Trainer, plain or with peft's LoRA, on two columns `sentence` and `label`: a script of the benchmarks.

Its argument is JSON; its last line is JSON with what `speed.py` reads of every tool:

- `training_seconds`: from the beginning of each epoch to the end of its last step, before its evaluation and save begin;
- `whole_seconds`: all of train(), which evaluates and saves after each epoch;
- `tokens`: attention masks, summed over the steps that were made; `first`: the monotonic clock at the first step;
- `steady`, with torch_compile: the steps after the last one in which a graph was compiled.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import torch
from datasets import DatasetDict, load_dataset
from rows import decayed
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging

FIXED = {
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 64,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "lr_scheduler_type": "linear",
    "optim": "adamw_torch_fused",
    "adam_epsilon": 1e-8,
    "report_to": "none",
    "save_strategy": "epoch",
    "eval_strategy": "epoch",
    "disable_tqdm": True,
}
"""Of every run: the same work as ftcli's."""


class Clock(TrainerCallback):
    """The epoch ends before its evaluation and its save begin."""

    def __init__(self, device: str) -> None:
        self.device, self.seconds, self.compiled, self.ends = device, 0.0, [], []

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.began = self._now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.compiled.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
        self.ends.append(time.perf_counter())

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.ended = self._now()
        self.seconds += self.ended - self.began


class Counting(Trainer):
    """Counts tokens, notes when the first step began, and keeps the losses of the first three."""

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *rest: Any) -> torch.Tensor:
        if self.state.global_step == 0:
            self.first, self.tokens, self.rows, self.losses = time.monotonic(), [], [], []
        self.tokens.append(inputs["attention_mask"].sum())
        self.rows.append(len(inputs["labels"]))
        loss = super().training_step(model, inputs, *rest)
        if self.state.global_step < 3:
            self.losses.append(loss.detach())
        return loss


def accuracy(output: Any) -> dict[str, float]:
    return {"accuracy": float((output.predictions.argmax(-1) == output.label_ids).mean())}


def encoded(spec: dict[str, Any], tokenizer: Any) -> DatasetDict:
    """Returns both parts tokenised, with the lengths that group_by_length asks for."""
    files = {"train": spec["train"], "validation": spec["validation"]}
    rows = load_dataset("csv", data_files=files, delimiter="\t", quoting=3, cache_dir=spec["cache"])

    def encode(batch: dict[str, list[str]]) -> dict[str, Any]:
        found = tokenizer(batch["sentence"], truncation=True, max_length=64)
        return {**found, "length": [len(ids) for ids in found["input_ids"]]}

    return rows.map(encode, batched=True, remove_columns=["sentence"])


def build(spec: dict[str, Any]) -> torch.nn.Module:
    model = AutoModelForSequenceClassification.from_pretrained(spec["model"])
    if spec["lora"]:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", **spec["lora"]))
    return model


def steady(clock: Clock, trainer: Counting) -> dict[str, float]:
    """Returns what came after the last step that compiled something."""
    warm = next((n for n, count in enumerate(clock.compiled) if count == clock.compiled[-1]), 0) + 1
    seconds = clock.ended - clock.ends[warm - 1]
    return {"steps": warm, "rows": sum(trainer.rows[warm:]), "tokens": int(sum(trainer.tokens[warm:])), "seconds": seconds}  # fmt: skip


def main(spec: dict[str, Any]) -> dict[str, Any]:
    logging.set_verbosity_error()
    torch.manual_seed(spec["seed"])
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    rows, model = encoded(spec, tokenizer), build(spec)
    arguments = TrainingArguments(
        spec["out"],
        **FIXED,
        num_train_epochs=spec["epochs"],
        learning_rate=spec["lr"],
        logging_steps=spec["log_every"],
        seed=spec["seed"],
        use_cpu=spec["device"] == "cpu",
        **spec["options"],
    )
    clock = Clock(spec["device"])
    trainer = Counting(
        model,
        arguments,
        callbacks=[clock],
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=accuracy,
    )
    began = time.perf_counter()
    trainer.train()
    whole = time.perf_counter() - began
    assert trainer.optimizer is not None
    return {
        "training_seconds": clock.seconds,
        "whole_seconds": whole,
        "rows": sum(trainer.rows),
        "tokens": int(sum(trainer.tokens)),
        "steps": trainer.state.global_step,
        "accuracy": [line["eval_accuracy"] for line in trainer.state.log_history if "eval_accuracy" in line][
            -1
        ],
        "first": trainer.first,
        "losses": [float(loss) for loss in trainer.losses],
        "trainable": [sum(weight.numel() for weight in model.parameters() if weight.requires_grad)],
        "decayed": [decayed(trainer.optimizer)],
        "precision": "bf16" if arguments.bf16 else "fp32",
        "steady": steady(clock, trainer) if arguments.torch_compile else None,
        "device_bytes": torch.cuda.max_memory_allocated() if spec["device"] == "cuda" else 0,
        "versions": {name: version(name) for name in ("accelerate", "peft", "datasets")},
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
