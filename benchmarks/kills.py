"""Real kill -9 at random moments: does every resume end with the same bytes?

    python benchmarks/kills.py [--kills 40] [--seed 1] [--device cpu] [--quick] [--phases | --prefix | --budget]

A reference run (dropout on, accumulation 3, ragged tail, bf16) is trained once. Then the same run is
started again and again, each time killed by SIGKILL at a random moment of its training, or at a named
point inside a save, a rotation or an evaluation (FTCLI_CRASH_AT, see ftcli/storage/crash_points.py), and
continued with `train --resume`. Every fifth run is killed up to three times. Weights and optimizer state
of `last` and `best` must have the reference's sha256; train lines, evaluations and final scores must be
the reference's. A process that ended before its kill counts as no kill. Imports are paid once: each run is
a forked process of its own. Writes benchmarks/results/kills.md; exit code 1 if any run differs.

With --phases the run follows a schedule of three phases of 17 steps, the kills fall around its two
boundaries and inside the transitions, and the result is benchmarks/results/kills_phases.md.

With --prefix the run follows a schedule of four phases of 17 steps, three of which read kept activations of their
frozen lower layers; every run has a cache folder of its own. The named points fall into both fills (`prefix`), into
the commits of their entries, saves, evaluations and transitions. Two of three runs keep files, the third keeps
memory, and all must end with the bytes of one reference; files must have its names and hashes. The result
is benchmarks/results/kills_prefix.md.

With --budget batches are cut by trainer.token_budget, and the result is benchmarks/results/kills_budget.md.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import tiny_models  # noqa: E402
from killed_runs import (  # noqa: E402
    BUDGET,
    EPOCH_STEPS,
    EPOCHS,
    Pace,
    compare,
    entries,
    kill_after,
    logged,
    outcome,
    wait_for_training,
    warm_up,
    words,
)
from machine import commit  # noqa: E402

from benchmarks.faults import forks  # noqa: E402

POINTS = ("before-rename", "evaluation", "step", "staged-file", "before-manifest", "after-manifest", "after-rename",
          "before-link", "after-link", "before-delete", "in-delete")  # fmt: skip
RARE = ("before-delete", "in-delete", "evaluation")
BOUNDARIES = ("transition:1", "transition:2", "step:17", "step:18", "step:34", "step:35", "evaluation:3", "before-rename:9",
              "after-rename:9", "before-link:9", "after-link:9", "step:16", "step:33")  # fmt: skip
IN_PREFIX = ("prefix:1", "evaluation:1", "staged-file:1", "before-rename:13", "prefix:4", "before-manifest:2", "evaluation:2",
             "transition:1", "prefix:7", "after-manifest:3", "after-link:8", "before-rename:4", "prefix:9", "transition:2",
             "after-rename:1", "before-link:3", "prefix:14", "after-rename:2")  # fmt: skip
"""A fill passes `prefix` 7 times (149 and 40 rows in blocks of 32) and commits an entry for each table and depth: four
in the first fill (the head's and block 1's), two in the second (what the pooler reads); saves lie between."""
KEEPING = {"plain": [], "phases": [], "prefix": ["trainer.prefix_cache=disk"], "budget": []}
KEPT_IN = [
    "Every run has a cache folder of its own. Runs whose number is no multiple of three keep files, and names and hashes of",
    "these are compared too; the others keep memory. `prefix:N` is the N-th block of rows of a fill; the first four",
    "`before-manifest`, `after-manifest` and `before-rename` of a run in files are those of kept activations.",
]


@dataclass(slots=True)
class Kill:
    """One SIGKILL that met a living process."""

    number: int
    run: int
    kind: str
    moment: str
    logged: int
    """Last step that metrics.jsonl knew of; it has a line every 2 steps."""
    resumed_at: int = 0
    identical: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--phases", action="store_true", help="a schedule of three phases, killed around its boundaries"
    )
    parser.add_argument(
        "--prefix", action="store_true", help="a schedule that reads kept activations of frozen layers"
    )
    parser.add_argument("--budget", action="store_true", help="batches of a token budget")
    parser.add_argument("--quick", action="store_true", help="four kills, no result file")
    options = parser.parse_args()
    count = 4 if options.quick else options.kills
    with tempfile.TemporaryDirectory() as name:
        return prove(Path(name), count, options)


def prove(folder: Path, count: int, options: argparse.Namespace) -> int:
    scenario = next((name for name in ("phases", "prefix", "budget") if getattr(options, name)), "plain")
    tiny_models.write_model(folder / "model", "bert")
    tiny_models.write_rows(folder / "rows", train=149, validation=40)
    warm_up()
    base = words(folder, options.device, scenario)
    reference, log, cache = folder / "reference", folder / "reference.txt", folder / "cache"
    pid = forks.start(["train", *base, *KEEPING[scenario], "--run-dir", str(reference)], log, cache)
    wait_for_training(pid, reference, log, 0)
    began = time.monotonic()
    if forks.wait(pid):
        sys.exit(f"the reference run failed:\n{log.read_text()}")
    duration = time.monotonic() - began
    expected, kept = outcome(reference), entries(cache)
    if scenario == "prefix" and len(kept) != 6:
        sys.exit(f"the reference kept {len(kept)} entries:\n{log.read_text()}")
    pace, draw, kills, runs, bad, missed = Pace(duration), random.Random(options.seed), list[Kill](), 0, 0, 0
    while len(kills) < count:
        runs += 1
        run, log = folder / f"run-{runs}", folder / f"run-{runs}.txt"
        in_files = scenario == "prefix" and runs % 3
        if scenario == "prefix":
            cache = folder / f"cache-{runs}"
        keeping = KEEPING["prefix"] if in_files else []
        arguments = ["train", *base, *keeping, "--run-dir", str(run), "--resume"]
        times = 3 if runs % 5 == 0 else 1
        mine = kill_and_resume(arguments, run, log, cache, draw, pace, runs, times, scenario)
        code = forks.wait(forks.start(arguments, log, cache))
        differing = compare(run, expected) if code == 0 else [f"exit code {code}"]
        differing += ["kept activations"] if in_files and entries(cache) != kept else []
        note_resumes(mine, log)
        missed += not mine
        for kill in mine:
            kill.number, kill.identical = len(kills) + 1, not differing
            kills.append(kill)
            print(
                f"kill {kill.number}/{count}: {kill.kind} {kill.moment}: {differing or 'identical'}",
                flush=True,
            )
        if differing:
            bad += 1
            print(log.read_text()[-3000:])
    redone = sum(max(0, kill.logged - kill.resumed_at) for kill in kills)
    killed = len({kill.run for kill in kills})
    same = len({kill.run for kill in kills if kill.identical})
    closing = (
        f"{same} of {killed} killed runs identical, after {len(kills)} kills, "
        f"{sum(kill.kind == 'random' for kill in kills)} of them at random moments; {redone} logged steps were done again "
        f"in all. {missed} more runs ended before their kill and count for nothing here. "
        f"The reference trained for {duration:.1f} s."
    )
    print(closing)
    if not options.quick:
        save(kills, closing, expected, scenario)
    return 1 if bad else 0


def kill_and_resume(
    arguments: list[str],
    run: Path,
    log: Path,
    cache: Path,
    draw: random.Random,
    pace: Pace,
    number: int,
    times: int,
    scenario: str,
) -> list[Kill]:
    """Kills a run up to `times` times; even runs at a named point, odd ones at a random moment.

    With phases every run is killed at a point around a boundary.
    """
    kills: list[Kill] = []
    for _ in range(times):
        if scenario == "phases":
            moment = BOUNDARIES[(number - 1) % len(BOUNDARIES)]
            killed = (
                forks.wait(forks.start(arguments, log, cache, environment={"FTCLI_CRASH_AT": moment}))
                == -signal.SIGKILL
            )
            kind = "around a boundary"
        elif scenario == "prefix" and number % 2 == 0:
            moment = IN_PREFIX[(number // 2 - 1) % len(IN_PREFIX)]
            killed = (
                forks.wait(forks.start(arguments, log, cache, environment={"FTCLI_CRASH_AT": moment}))
                == -signal.SIGKILL
            )
            kind = "at a named point"
        elif number % 2 == 0:
            point = POINTS[(number // 2 - 1) % len(POINTS)]
            moment = f"{point}:{draw.randint(1, 6 if point in RARE else 12)}"
            killed = (
                forks.wait(forks.start(arguments, log, cache, environment={"FTCLI_CRASH_AT": moment}))
                == -signal.SIGKILL
            )
            kind = (
                "in evaluation" if point == "evaluation" else "in a step" if point == "step" else "in a save"
            )
        else:
            done = max((event["step"] for event in logged(run)), default=0)
            total = EPOCHS[scenario] * EPOCH_STEPS
            share = 1 - done / total
            delay = draw.uniform(0, pace.seconds * share)
            ended_after = kill_after(arguments, run, log, cache, delay)
            killed = ended_after is None
            if ended_after is not None:
                pace.seconds = ended_after / max(share, 1 / total)
            kind, moment = "random", f"{delay:.2f} s into training"
        if not killed:
            break
        last = max((event["step"] for event in logged(run)), default=0)
        kills.append(Kill(0, number, kind, moment, last))
    return kills


def note_resumes(kills: list[Kill], log: Path) -> None:
    """Fills in where each kill was continued, as the resumed process itself said."""
    said = [int(step) for step in re.findall(r"continuing at step (\d+) of", log.read_text())]
    # A run killed before its first words were recorded starts as new and says nothing.
    said = [0] * (len(kills) - len(said)) + said
    for kill, step in zip(kills, said, strict=False):
        kill.resumed_at = step


def save(kills: list[Kill], closing: str, expected: dict[str, str], scenario: str) -> None:
    from ftcli.runtime.environment import environment

    machine = environment({})
    packages = machine["packages"]
    name, option, run = {
        "plain": ("kills.md", "", "51 steps"),
        "phases": ("kills_phases.md", " --phases", "51 steps in three phases of 17 (AdamW, AdamW, SGD)"),
        "prefix": ("kills_prefix.md", " --prefix", "68 steps in four phases of 17, the first three of which read kept activations"),
        "budget": ("kills_budget.md", " --budget", "51 steps"),
    }[scenario]  # fmt: skip
    batches = (
        f"batches of at most {BUDGET} padded tokens" if scenario == "budget" else "batches of 9 (ragged tail)"
    )
    place = ROOT / "benchmarks" / "results" / name
    place.parent.mkdir(exist_ok=True)
    lines = [
        "# Real kill -9, and what the resumed run ended with",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine['cpu']}, {machine['cores']} cores, {machine['platform']}, "
        f"Python {machine['python']}, torch {packages['torch']}, transformers {packages['transformers']}, "
        f"ftcli {machine['ftcli']}{commit()}. `python benchmarks/kills.py{option} --kills {len(kills)}`.",
        "",
        f"Tiny BERT, dropout 0.1, accumulation 3, 149 rows in {batches}, {run}, bf16 autocast, a checkpoint",
        "every 3 steps, an evaluation every 7. Compared: sha256 of weights and optimizer state of `last` and `best`, all train",
        "and eval lines, the final scores. The moment is a time since the loop began, or a named point and how often it had been",
        "reached. Steps redone: last step in metrics.jsonl (a line every 2 steps) less the step it resumed at.",
        *(KEPT_IN if scenario == "prefix" else []),
        "",
        f"Reference: last model {expected['last/model'][:16]}, optimizer {expected['last/optimizer'][:16]}, "
        f"best model {expected['best/model'][:16]}.",
        "",
        "| kill | run | kind | moment | resumed at step | steps redone | identical |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {kill.number} | {kill.run} | {kill.kind} | {kill.moment} | {kill.resumed_at} | "
            f"{max(0, kill.logged - kill.resumed_at)} | {'yes' if kill.identical else 'NO'} |"
            for kill in kills
        ),
        "",
        closing,
    ]
    place.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
