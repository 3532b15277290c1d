"""`ftcli train` in this process, with a clock on its loop: a script of the benchmarks.

Its argument is JSON with `words` and `run`, the run directory; its last line is JSON as of hf_trainer.py:

- `training_seconds`: of the loop without its evaluations and saves. Planning of batches, logging, changes of phase and
  the computation of a frozen prefix's activations are inside;
- `whole_seconds`: result.json's wall_seconds, which also holds a second scoring of the best checkpoint.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftcli.cli.app import main as command
from ftcli.trainer.step import TrainStep
from ftcli.trainer.trainer import Trainer
from ftcli.trainer.validation import Validation


class Clock:
    """Seconds by method of the loop, and when its first step began."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"fit": 0.0, "evaluate": 0.0, "save": 0.0}
        self.first = 0.0
        for name, kind, method in (
            ("fit", Trainer, "fit"),
            ("evaluate", Validation, "run"),
            ("save", Trainer, "save"),
        ):
            setattr(kind, method, self._timed(name, getattr(kind, method)))
        own = TrainStep.__call__

        def first_step(step: TrainStep, rows: Any) -> Any:
            self.first = time.monotonic()
            TrainStep.__call__ = own  # type: ignore[method-assign]
            return own(step, rows)

        TrainStep.__call__ = first_step  # type: ignore[method-assign]

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - began

        return timed

    @property
    def training(self) -> float:
        return self.seconds["fit"] - self.seconds["evaluate"] - self.seconds["save"]


def main(spec: dict[str, Any]) -> dict[str, Any]:
    clock, run = Clock(), Path(spec["run"])
    sys.argv = ["ftcli", "train", *spec["words"], "--run-dir", str(run), "--quiet"]
    try:
        command()
    except SystemExit as end:
        if end.code:
            raise
    result, plan, environment = (
        json.loads((run / f"{n}.json").read_text()) for n in ("result", "plan", "environment")
    )
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    train = [event for event in events if event["event"] == "train"]
    cuda = environment["decisions"]["device"] == "cuda"
    return {
        "training_seconds": clock.training,
        "whole_seconds": result["wall_seconds"],
        "rows": round(result["train"]["rows_per_s"] * result["train_seconds"]),
        "tokens": round(result["train"]["tokens_per_s"] * result["train_seconds"]),
        "steps": result["steps"],
        "accuracy": result["last"]["accuracy"],
        "first": clock.first,
        "losses": [event["loss"] for event in train[:3]],
        "trainable": [phase["num_trainable_parameters"] for phase in plan["phases"]],
        "decayed": [decayed(phase["groups"]) for phase in plan["phases"]],
        "precision": environment["decisions"]["precision"],
        "device_bytes": max(event["memory_bytes"] for event in train) if cuda else 0,
        "versions": {},
    }


def decayed(groups: list[dict[str, Any]]) -> int:
    """Returns the weights that get weight decay, of plan.json's groups."""
    return sum(group["num_parameters"] for group in groups if group["weight_decay"])


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
