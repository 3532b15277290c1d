"""The words of a run of a few steps, and what must be equal at its end."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from benchmarks.faults import figure

import tiny_models  # isort: skip

assert figure  # its import puts tests/support on the path

STEPS = 6


def words(folder: Path, *more: str, rows: int = 24) -> list[str]:
    """Writes model and rows; returns the words of a run of STEPS steps with a save each 2 and an evaluation each 3."""
    tiny_models.write_model(folder / "model", "bert")
    tiny_models.write_rows(folder / "rows", train=rows, validation=8)
    base = ["model=local", f"model.path={folder / 'model'}", "model.weights=random", "tokenizer.max_length=24", "data=text",
            f"data.path={folder / 'rows'}", "data.accept=[overlap]", "trainer.batch_size=8", "trainer.precision=fp32", "trainer.threads=1",
            "trainer.save_every_n_steps=2", "trainer.eval_every_n_steps=3", f"trainer.max_steps={STEPS}", "trainer.epochs=100", "trainer.device=cpu",
            "trainer.log_every_n_steps=1", "optimizer.lr=1e-3", "logger=jsonl", "seed=5"]  # fmt: skip
    given = {word.partition("=")[0] for word in more}
    return [*(word for word in base if word.partition("=")[0] not in given), *more]


def outcome(run: Path) -> dict[str, str]:
    """Returns the sha256 of weights and optimizer state of last and best, and the final scores."""
    found = {}
    for name in ("last", "best"):
        for part in ("model", "optimizer"):
            data = (run / "checkpoints" / name / f"{part}.safetensors").read_bytes()
            found[f"{name}/{part}"] = hashlib.sha256(data).hexdigest()
    result = json.loads((run / "result.json").read_text())
    found["result"] = json.dumps({key: result[key] for key in ("metrics", "best_step", "steps", "ended")})
    return found


def newest(run: Path) -> int | None:
    """Returns the step of the newest intact checkpoint; None: there is none."""
    from ftcli.checkpoint.store import CheckpointStore

    if not (run / "checkpoints").is_dir():
        return None
    found = CheckpointStore(run / "checkpoints", keep=3, readonly=True).latest()
    return None if found is None else found.step
