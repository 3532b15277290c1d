"""Runs that are killed and resumed: their words, what must be equal in the end, and a kill so many seconds into training."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import forks

SCHEDULE = """
0: {params: [head], max_steps: 17, lr: 1.0e-2}
1: {params: ['layers[-1:]', final], max_epochs: 1, lr: 1.0e-3, warmup: 3st}
2: {params: [rest], lr: 1.0e-4, optimizer: sgd, best: reset, patience: 100}
"""
PREFIX_SCHEDULE = """
0: {params: [head], max_epochs: 1, lr: 1.0e-2}
1: {params: [final], max_epochs: 1, lr: 1.0e-3, warmup: 3st}
2: {params: ['layers[-1:]'], max_epochs: 1, lr: 1.0e-3, best: reset}
3: {params: [rest], lr: 1.0e-4, optimizer: sgd, patience: 100}
"""
EPOCHS = {"plain": 3, "phases": 3, "prefix": 4, "budget": 3}
BUDGET = 84
"""Padded tokens a batch; cuts the same rows in 17 batches too."""
EPOCH_STEPS = 17
"""149 rows in batches of 9."""


@dataclass(slots=True)
class Pace:
    """Seconds the whole training takes, as last measured: other work on the machine changes it."""

    seconds: float


def words(folder: Path, device: str, scenario: str) -> list[str]:
    file = folder / "schedule.yaml"
    file.write_text(PREFIX_SCHEDULE if scenario == "prefix" else SCHEDULE)
    return [
        *([] if scenario in ("plain", "budget") else ["freezing=schedule", f"freezing.file={file}"]),
        "model=local", f"model.path={folder / 'model'}", "model.weights=random", "tokenizer.max_length=24", "data=text",
        f"data.path={folder / 'rows'}", "data.accept=[overlap]", f"trainer.token_budget={BUDGET}" if scenario == "budget" else "trainer.batch_size=9", "trainer.micro_batch_size=3", "trainer.precision=bf16",
        "trainer.save_every_n_steps=3", "trainer.eval_every_n_steps=7", f"trainer.epochs={EPOCHS[scenario]}", "trainer.threads=1",
        "trainer.log_every_n_steps=2", f"trainer.device={device}", "optimizer.lr=1e-3", "scheduler.warmup=0.1", "logger=jsonl", "seed=5",
    ]  # fmt: skip


def warm_up() -> None:
    """Imports what a run imports, so that forks start at once; gradients of the tiny vocabulary come as rows too."""
    from ftcli.trainer import sparse_embedding_grad

    forks.warm_up()
    sparse_embedding_grad.SMALLEST_TABLE = 1


def outcome(run: Path) -> dict[str, str]:
    """Returns what must be equal: hashes of weights and optimizer of last and best, and the train lines."""
    found = {}
    for name in ("last", "best"):
        for part in ("model", "optimizer"):
            found[f"{name}/{part}"] = hashlib.sha256(
                (run / "checkpoints" / name / f"{part}.safetensors").read_bytes()
            ).hexdigest()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [(e["step"], e["loss"], e["lr"], e["grad_norm"]) for e in lines if e["event"] == "train"]
    found["train lines"] = hashlib.sha256(json.dumps(kept).encode()).hexdigest()
    scores = [(e["step"], e["accuracy"], e["loss"], e["best"]) for e in lines if e["event"] == "eval"]
    found["eval lines"] = hashlib.sha256(json.dumps(scores).encode()).hexdigest()
    result = json.loads((run / "result.json").read_text())
    found["result"] = json.dumps({key: result[key] for key in ("metrics", "best_step", "steps", "ended")})
    return found


def entries(cache: Path) -> dict[str, str]:
    """Returns the names of the entries of kept activations -> the hash of their bytes."""
    files = sorted(cache.glob("prefix/*/states.bin"))
    return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def logged(run: Path) -> list[dict]:
    """Returns the complete lines of metrics.jsonl."""
    with contextlib.suppress(FileNotFoundError):
        lines = (run / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]
    return []


def kill_after(arguments: list[str], run: Path, log: Path, cache: Path, delay: float) -> float | None:
    """Starts a run and kills it so many seconds after training began.

    Returns:
        None, or the seconds it trained for when it had ended before its kill.
    """
    before = beginnings(run, log)
    pid = forks.start(arguments, log, cache)
    wait_for_training(pid, run, log, before)
    began = time.monotonic()
    while time.monotonic() - began < delay and not forks.ended(pid):
        time.sleep(0.002)
    seconds = time.monotonic() - began
    os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
    return None if forks.wait(pid) == -signal.SIGKILL else seconds


def beginnings(run: Path, log: Path) -> int:
    """Counts how often the loop has begun: a new run logs its first phase, a resumed one says where it stands."""
    said = log.read_text().count("continuing at step") if log.exists() else 0
    return said + sum(event["event"] == "phase" and event["step"] == 0 for event in logged(run))


def wait_for_training(pid: int, run: Path, log: Path, before: int) -> None:
    """Returns when the loop has begun once more, or when the process has ended; does not reap it."""
    while beginnings(run, log) <= before:
        if forks.ended(pid):
            return
        time.sleep(0.005)


def compare(run: Path, expected: dict[str, str]) -> list[str]:
    """Returns the names of what differs from the reference."""
    found = outcome(run)
    return [name for name in expected if found[name] != expected[name]]
