"""Real kill -9 at random moments: does every resume end with the same bytes?

    python benchmarks/kills.py [--kills 36] [--seed 1] [--quick]

A reference run (dropout on, accumulation 3, ragged tail, bf16) is trained once. Then the same run is
started again and again, each time killed by SIGKILL at a random moment, or at a named point inside a
save, a rotation or an evaluation (FTCLI_CRASH_AT, see ftcli/checkpoint/crash.py), and continued with
`train --resume`. Every tenth run is killed three times. Weights and optimizer state of `last` and `best`
must have the reference's sha256, and metrics.jsonl its train lines. Imports are paid once: each run is a
forked process of its own. Writes benchmarks/results/kills.md; exit code 1 if any run differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import tiny_models  # noqa: E402

POINTS = ("step", "evaluation", "staged-file", "before-manifest", "after-manifest", "before-rename", "after-rename",
          "before-link", "after-link", "before-delete", "in-delete")  # fmt: skip


def words(folder: Path) -> list[str]:
    return [
        "model=local", f"model.path={folder / 'model'}", "model.weights=random", "tokenizer.max_length=24", "data=text",
        f"data.path={folder / 'rows'}", "trainer.batch_size=9", "trainer.micro_batch_size=3", "trainer.precision=bf16",
        "trainer.save_every_n_steps=3", "trainer.eval_every_n_steps=7", "trainer.epochs=3", "trainer.threads=1",
        "trainer.log_every_n_steps=2", "optimizer.lr=1e-3", "scheduler.warmup=0.1", "logger=jsonl", "seed=5",
    ]  # fmt: skip


def warm_up() -> None:
    """Imports what a run imports, so that forks start at once; starts no threads."""
    import datasets  # noqa: F401
    import torch  # noqa: F401
    import transformers
    import transformers.models.auto.modeling_auto
    import transformers.models.auto.tokenization_auto
    import transformers.models.bert.modeling_bert  # noqa: F401

    import ftcli.cli.app
    import ftcli.trainer.trainer  # noqa: F401


def start(arguments: list[str], log: Path, crash_at: str | None = None) -> int:
    """Forks a process that runs ftcli with these arguments; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if crash_at:
            os.environ["FTCLI_CRASH_AT"] = crash_at
        sys.argv = ["ftcli", *arguments]
        from ftcli.cli.app import main

        main()
        code = 0
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait(pid: int) -> int:
    """Returns the exit code, negative for a signal."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


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
    scores = [(e["step"], e["accuracy"], e["loss"]) for e in lines if e["event"] == "eval"]
    found["eval lines"] = hashlib.sha256(json.dumps(scores).encode()).hexdigest()
    return found


def last_step(run: Path) -> int:
    """Returns the last step that metrics.jsonl knows of."""
    with contextlib.suppress(FileNotFoundError):
        steps = [
            json.loads(line)["step"]
            for line in (run / "metrics.jsonl").read_text().splitlines()
            if line.endswith("}")
        ]
        return max(steps, default=0)
    return 0


def newest_checkpoint(run: Path) -> int:
    names = [p.name for p in (run / "checkpoints").glob("step-*")] if (run / "checkpoints").is_dir() else []
    return max((int(name[5:11]) for name in names), default=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=36)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="six kills, no result file")
    options = parser.parse_args()
    count = 6 if options.quick else options.kills
    with tempfile.TemporaryDirectory() as name:
        return prove(Path(name), count, options.seed, write=not options.quick)


def prove(folder: Path, count: int, seed: int, *, write: bool) -> int:
    os.environ["FTCLI_CACHE"] = str(folder / "cache")
    tiny_models.write_model(folder / "model", "bert")
    tiny_models.write_rows(folder / "rows", train=149, validation=40)
    warm_up()
    base = words(folder)
    log = folder / "log.txt"
    reference = folder / "reference"
    began = time.monotonic()
    if wait(start(["train", *base, "--run-dir", str(reference)], log)):
        sys.exit(f"the reference run failed:\n{log.read_text()}")
    duration = time.monotonic() - began
    expected = outcome(reference)
    draw = random.Random(seed)
    table, bad = [], 0
    for number in range(1, count + 1):
        run = folder / f"run-{number}"
        arguments = ["train", *base, "--run-dir", str(run), "--resume"]
        events = []
        for _ in range(3 if number % 10 == 0 else 1):
            events.append(
                kill_once(arguments, run, log, draw, duration, named=number % 2 == 0, number=number)
            )
        code = wait(start(arguments, log))
        same = code == 0 and outcome(run) == expected
        bad += not same
        table.append(
            (
                number,
                "; ".join(e[0] for e in events),
                "; ".join(f"{e[1]} -> {e[2]}" for e in events),
                "yes" if same else "NO",
            )
        )
        print(
            f"kill {number}/{count}: {table[-1][1]}: {'identical' if same else f'DIFFERENT (exit {code})'}",
            flush=True,
        )
        if not same:
            print(log.read_text()[-3000:])
    killed = sum(line[1].count(";") + 1 for line in table)
    closing = f"{count - bad} of {count} runs identical after {killed} kills; reference run {duration:.1f} s"
    print(closing)
    if write:
        save(table, closing)
    return 1 if bad else 0


def kill_once(
    arguments: list[str],
    run: Path,
    log: Path,
    draw: random.Random,
    duration: float,
    *,
    named: bool,
    number: int,
) -> tuple[str, int, int]:
    """Kills one start; returns (where, last step logged, step of the newest checkpoint)."""
    if named:
        point = POINTS[(number // 2 - 1) % len(POINTS)]
        times = draw.randint(1, 6 if point in ("before-delete", "in-delete", "evaluation") else 12)
        pid = start(arguments, log, crash_at=f"{point}:{times}")
        where = f"{point}:{times}"
    else:
        delay = draw.uniform(0.1, duration)
        pid = start(arguments, log)
        where = f"after {delay:.2f} s"
        time.sleep(delay)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    code = wait(pid)
    if code != -signal.SIGKILL:
        where += " (had ended)"
    return where, last_step(run), newest_checkpoint(run)


def save(table: list[tuple[int, str, str, str]], closing: str) -> None:
    import torch
    import transformers

    place = ROOT / "benchmarks" / "results" / "kills.md"
    place.parent.mkdir(exist_ok=True)
    lines = [
        "# Real kill -9, and what the resumed run ended with",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}. `make kills`.",
        "",
        "Tiny BERT, dropout 0.1, accumulation 3, 149 rows in batches of 9 (ragged tail), bf16 autocast, a checkpoint every 3",
        "steps, an evaluation every 7. Compared: sha256 of weights and optimizer state of `last` and `best`, and all train and",
        "eval lines. `killed` is a time since the start, or a named point and the how manieth passing of it.",
        "",
        "| run | killed | last step logged -> newest checkpoint | identical |",
        "|---|---|---|---|",
        *(f"| {number} | {where} | {steps} | {same} |" for number, where, steps, same in table),
        "",
        closing,
    ]
    place.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
