"""finetuning-scheduler 2.14.1 in Lightning, on a text classifier: a script of the benchmarks, for an environment with both.

Its argument is JSON; its last line is JSON as of hf_trainer.py, and of each epoch `epochs` (seconds of its training),
`depths` (the phase it was in) and `curve` ((seconds of training and evaluation so far, dev accuracy) pairs).

`schedule`: a schedule file with max_transition_epoch, or null: the generated one, with early stopping (patience 1).
`grouped`: batches of rows of like length; otherwise the DataLoader's random order.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

spec: dict[str, Any] = json.loads(sys.argv[1])
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import lightning  # noqa: E402
import torch  # noqa: E402
from finetuning_scheduler import FinetuningScheduler, FTSCheckpoint, FTSEarlyStopping  # noqa: E402
from rows import decayed, loader, read  # noqa: E402
from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: E402
from transformers.utils import logging as hf  # noqa: E402


class Module(lightning.LightningModule):
    """The classifier with one loss, one score and one AdamW."""

    def __init__(self) -> None:
        super().__init__()
        # Transformers returns it in eval mode, and Lightning leaves modes as they are: without this, no dropout.
        self.model = AutoModelForSequenceClassification.from_pretrained(spec["model"], num_labels=2).train()
        self.no_decay = ["bias", "LayerNorm"]
        self.right = self.seen = self.rows = 0
        self.tokens: list[torch.Tensor] = []
        self.losses: list[torch.Tensor] = []

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        if not self.tokens:
            self.first = time.monotonic()
        self.tokens.append(batch["attention_mask"].sum())
        self.rows += len(batch["labels"])
        loss = self.model(**batch).loss
        if len(self.losses) < 3:
            self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], _: int) -> None:
        out = self.model(**batch)
        self.log("val_loss", out.loss, batch_size=len(batch["labels"]))
        self.right += int((out.logits.argmax(-1) == batch["labels"]).sum())
        self.seen += len(batch["labels"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [(name, weight) for name, weight in self.named_parameters() if weight.requires_grad]
        plain = [weight for name, weight in trained if any(word in name for word in self.no_decay)]
        rest = [weight for name, weight in trained if not any(word in name for word in self.no_decay)]
        groups = [{"params": rest}, {"params": plain, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=spec["lr"], weight_decay=0.01, fused=True)


class Clock(lightning.Callback):
    """From an epoch's start, after the transition, to the end of its last batch: collation counts, as for ftcli."""

    def __init__(self) -> None:
        self.epochs, self.curve, self.depths, self.trainable, self.decayed = [], [], [], [], []

    def _now(self) -> float:
        if spec["device"] == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_start(self, *_: Any) -> None:
        self.began = self._now()

    def on_train_epoch_start(self, *_: Any) -> None:
        self.start = self._now()

    def on_train_batch_end(self, trainer: Any, module: Module, outputs: Any, batch: Any, index: int) -> None:
        if index + 1 == trainer.num_training_batches:
            self.spent = self._now() - self.start

    def on_validation_end(self, trainer: Any, module: Module) -> None:
        depth = next(c for c in trainer.callbacks if isinstance(c, FinetuningScheduler)).curr_depth
        if depth not in self.depths:
            self.trainable.append(sum(p.numel() for p in module.parameters() if p.requires_grad))
            self.decayed.append(decayed(trainer.optimizers[0]))
        self.epochs.append(self.spent)
        self.depths.append(depth)
        self.curve.append((self._now() - self.began, module.right / module.seen))
        module.right = module.seen = 0
        reached = spec["target"] is not None and self.curve[-1][1] >= spec["target"]
        if reached or (spec["limit"] is not None and self.curve[-1][0] > spec["limit"]):
            trainer.should_stop = True
            trainer.fit_loop.max_epochs = trainer.current_epoch + 1


def main() -> dict[str, Any]:
    hf.set_verbosity_error()
    lightning.seed_everything(spec["seed"])
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    train, dev = read(spec["train"], tokenizer), read(spec["validation"], tokenizer)
    clock, module = Clock(), Module()
    written = spec["schedule"] is not None
    scheduler = FinetuningScheduler(ft_schedule=spec["schedule"], base_max_lr=spec["lr"], epoch_transitions_only=written)  # fmt: skip
    early = [] if written else [FTSEarlyStopping(monitor="val_loss", patience=1)]
    checkpoint = FTSCheckpoint(dirpath=spec["out"], monitor="val_loss", save_top_k=1)
    trainer = lightning.Trainer(
        accelerator="gpu" if spec["device"] == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if spec["precision"] == "bf16" else "32-true",
        max_epochs=spec["epochs"],
        gradient_clip_val=1.0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=spec["out"],
        callbacks=[scheduler, checkpoint, *early, clock],
    )
    began = time.perf_counter()
    trainer.fit(
        module,
        loader(train, grouped=spec["grouped"], shuffle=True),
        loader(dev, grouped=spec["grouped"], shuffle=False),
    )
    return {
        "training_seconds": sum(clock.epochs),
        "whole_seconds": time.perf_counter() - began,
        "rows": module.rows,
        "tokens": int(sum(module.tokens)),
        "steps": trainer.global_step,
        "accuracy": clock.curve[-1][1],
        "first": module.first,
        "losses": [float(loss) for loss in module.losses],
        "trainable": clock.trainable,
        "decayed": clock.decayed,
        "precision": spec["precision"],
        "device_bytes": torch.cuda.max_memory_allocated() if spec["device"] == "cuda" else 0,
        "versions": {name: version(name) for name in ("lightning", "finetuning-scheduler", "torch")},
        "epochs": clock.epochs,
        "curve": clock.curve,
        "depths": clock.depths,
    }


if __name__ == "__main__":
    print(json.dumps(main()))
