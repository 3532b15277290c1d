"""A schedule that unfreezes top-down, and a head-only one, with and without kept activations of the frozen layers.

    FTCLI_DATA=DIR python benchmarks/prefix_cache.py [--rows 800] [--dev 200] [--repeats 3] [--precision fp32]

MiniLM on SST-2, batch 32, the model's dropout, three phases of three epochs: the head; the two top layers and the pooler too; the
four top layers too. Both runs keep the frozen layers out of backward; `off` computes their activations in every step
(trainer.prefix_cache=off). Runs in turns; every one begins with an empty cache.

- whole run: from the first step to the last score, with evaluations, checkpoints and the computation of the cache.
- training steps: the same of the steps of each phase alone.

Seconds are those of the CPU, on one thread, for they do not count what other programs take.

Writes benchmarks/results/prefix_cache.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import ROOT, conditions, first_rows, publish, spread

PHASES = ("head", "two top layers and pooler too", "four top layers too")
MODES = ("auto", "off")


def schedule(epochs: int) -> str:
    """Returns the three phases of `epochs` epochs each, in finetuning-scheduler's grammar."""
    return f"""\
0:
  params: ['classifier.(weight|bias)']
  max_transition_epoch: {epochs}
  lr: 1.0e-03
1:
  params: ['bert.encoder.layer.[45].*', 'bert.pooler.*']
  max_transition_epoch: {2 * epochs}
  lr: 1.0e-04
2:
  params: ['bert.encoder.layer.[23].*']
  max_transition_epoch: {3 * epochs}
  lr: 5.0e-05
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--dev", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    schedules: dict[str, list[dict]] = {mode: [] for mode in MODES}
    heads: dict[str, list[dict]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first_rows(folder, options.rows, options.dev)
        (folder / "schedule.yaml").write_text(schedule(3))
        words = ["freezing=schedule", f"freezing.file={folder / 'schedule.yaml'}",
                 "freezing.epoch_transitions_only=true", "trainer.epochs=9"]  # fmt: skip
        for number in range(options.repeats):
            for mode in MODES:
                place = folder / f"{mode}-{number}"
                schedules[mode].append(train(folder, place, mode, options, words))
                only = ["freezing=head-only", "trainer.epochs=3", "optimizer.lr=1e-3"]
                heads[mode].append(train(folder, folder / f"head-{mode}-{number}", mode, options, only))
                print(
                    mode,
                    round(schedules[mode][-1]["whole"], 1),
                    round(heads[mode][-1]["steps"][0], 2),
                    flush=True,
                )
    write(schedules, heads, options)


def train(folder: Path, run: Path, mode: str, options: argparse.Namespace, words: list[str]) -> dict:
    """Returns what `measure` prints in a process of its own."""
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "FTCLI_CACHE": str(run) + ".cache"}
    base = ["recipe=sst2-full", "model=minilm", f"data.path={folder / 'sst2'}", "scheduler=constant", "seed=1",
            "tokenizer.max_length=64", f"trainer.precision={options.precision}", f"trainer.prefix_cache={mode}",
            "trainer.threads=1"]  # fmt: skip
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", str(run), *base, *words]
    done = subprocess.run(command, env=env, check=True, cwd=folder, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(run: Path, words: list[str]) -> None:
    """Trains as `ftcli train` does, up to the best checkpoint's score, and prints CPU seconds as JSON."""
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.config.compose import load
    from ftcli.run.session import RunSession
    from ftcli.trainer.signals import StopFlag
    from ftcli.trainer.step import TrainStep

    config = load(words).config
    session = RunSession(config)
    store = CheckpointStore(run, keep=2)
    trainer = session.trainer(store=store, events=Quiet(), reporter=Quiet(), stop=StopFlag())
    steps: dict[int, float] = {}
    own = TrainStep.__call__

    def timed(step: TrainStep, rows: Any) -> Any:
        began = time.process_time()
        result = own(step, rows)
        steps[trainer.state.phase] = steps.get(trainer.state.phase, 0.0) + time.process_time() - began
        return result

    TrainStep.__call__ = timed  # type: ignore[method-assign]
    began = time.process_time()
    trainer.fit()
    trainer.score_best()
    last = trainer.state.last_eval
    print(json.dumps({"whole": time.process_time() - began, "steps": [steps[phase] for phase in sorted(steps)],
                      "loss": last["loss"], "accuracy": last["accuracy"]}))  # fmt: skip


class Quiet:
    """Takes whatever the loop says and logs."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def row(what: str, kept: list[float], computed: list[float]) -> str:
    ratios = [off / on for on, off in zip(kept, computed, strict=True)]
    return f"| {what} | {spread(kept, 2)} | {spread(computed, 2)} | {spread(ratios, 2)} |"


def write(
    schedules: dict[str, list[dict]], heads: dict[str, list[dict]], options: argparse.Namespace
) -> None:
    kept, computed = schedules["auto"], schedules["off"]
    lines = [
        "# The frozen prefix, computed once",
        "",
        f"{conditions()} MiniLM, {options.rows} rows of SST-2, {options.dev} of dev, batch 32, {options.precision}, dropout 0.1.",
        f"`python benchmarks/prefix_cache.py --rows {options.rows} --dev {options.dev} --repeats {options.repeats} "
        f"--precision {options.precision}`.",
        "",
        "CPU seconds on one thread, median (minimum-maximum) of interleaved runs; ratios run by run. `off` computes the frozen layers in every step and "
        "keeps them out of backward.",
        "",
        "| | kept | off | off / kept |",
        "|---|---|---|---|",
        row(
            "three phases of three epochs, whole run",
            [r["whole"] for r in kept],
            [r["whole"] for r in computed],
        ),
        row("its training steps", [sum(r["steps"]) for r in kept], [sum(r["steps"]) for r in computed]),
    ]
    for index, what in enumerate(PHASES):
        mine, other = ([r["steps"][index] for r in runs] for runs in (kept, computed))
        lines.append(row(f"- {what}: training steps", mine, other))
    for what, of in (("whole run", lambda r: r["whole"]), ("training steps", lambda r: sum(r["steps"]))):
        lines.append(
            row(
                f"head only, three epochs: {what}",
                [of(r) for r in heads["auto"]],
                [of(r) for r in heads["off"]],
            )
        )
    gap = max(abs(a["loss"] - b["loss"]) / b["loss"] for a, b in zip(kept, computed, strict=True))
    shown = [", ".join(f"{r['accuracy']:.4f}" for r in runs) for runs in (kept, computed)]
    lines += [
        "",
        f"Last dev accuracy {shown[0]} (kept) and {shown[1]} (off); their dev losses differ by at most {gap:.1e} of it.",
    ]
    publish("prefix_cache", lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
