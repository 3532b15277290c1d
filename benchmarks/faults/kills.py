"""kill -9 at random moments of five recipes: every resumed run ends with the same bytes.

    python -m benchmarks.faults.kills [--recipes full frozen phases lora prefix] [--count 50] [--seed 1] [--no-record]

Each recipe is trained once without a kill. Then runs are started, killed by SIGKILL at a random moment of their training and
resumed; every fifth run is killed up to three times. sha256 of weights and optimizer state of `last` and `best`, train lines,
evaluations and final scores must be the reference's, and nothing staged may be left. `benchmarks/kills.py` kills at named places besides.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.faults import figure, forks

import killed_runs  # isort: skip
import tiny_models  # isort: skip

COUNT = 50
RECIPES = {
    "full": ("plain", []),
    "frozen": ("plain", ["freezing=bottom-layers", "freezing.num_layers=1", "trainer.prefix_cache=off"]),
    "phases": ("phases", []),
    "lora": ("plain", ["peft=lora"]),
    "prefix": ("prefix", ["trainer.prefix_cache=disk"]),
}
"""Recipe -> scenario of benchmarks/killed_runs.py and further words."""


def trial(recipe: str, folder: Path, count: int, seed: int) -> figure.Tally:
    """Kills runs of one recipe `count` times."""
    scenario, more = RECIPES[recipe]
    tiny_models.write_model(folder / "model", "bert")
    tiny_models.write_rows(folder / "rows", train=149, validation=40)
    killed_runs.warm_up()
    base = [*killed_runs.words(folder, "cpu", scenario), *more]
    reference, log, cache = folder / "reference", folder / "reference.txt", folder / "cache"
    pid = forks.start(["train", *base, "--run-dir", str(reference)], log, cache)
    killed_runs.wait_for_training(pid, reference, log, 0)
    began = time.monotonic()
    if forks.wait(pid):
        sys.exit(f"the reference run failed:\n{log.read_text()}")
    pace = killed_runs.Pace(time.monotonic() - began)
    expected, draw, tally, number = killed_runs.outcome(reference), random.Random(seed), figure.Tally(), 0
    while tally.tried < count:
        number += 1
        run, log = folder / f"run-{number}", folder / f"run-{number}.txt"
        if scenario == "prefix":
            cache = folder / f"cache-{number}"
        arguments = ["train", *base, "--run-dir", str(run), "--resume"]
        moments = kill(arguments, run, log, cache, draw, pace, 3 if number % 5 == 0 else 1, scenario)
        code = forks.wait(forks.start(arguments, log, cache))
        differing = (
            killed_runs.compare(run, expected)
            if code == 0
            else [f"exit code {code}: {log.read_text()[-500:]}"]
        )
        differing += [f"left behind: {left.name}" for left in run.rglob(".stage-*")]
        for moment in moments[: count - tally.tried]:
            tally.count(
                f"{recipe}, killed {moment:.2f} s into training: {', '.join(differing)}"
                if differing
                else None
            )
    return tally


def kill(arguments: list[str], run: Path, log: Path, cache: Path, draw: random.Random, pace: killed_runs.Pace, times: int, scenario: str) -> list[float]:  # fmt: skip
    """Starts and kills a run up to `times` times at random moments; returns the seconds of those that met a living process."""
    moments = []
    total = killed_runs.EPOCHS[scenario] * killed_runs.EPOCH_STEPS
    for _ in range(times):
        share = 1 - max((event["step"] for event in killed_runs.logged(run)), default=0) / total
        delay = draw.uniform(0, pace.seconds * share)
        lived = killed_runs.kill_after(arguments, run, log, cache, delay)
        if lived is not None:
            pace.seconds = max(lived / max(share, 1 / total), 0.2)
            break
        moments.append(delay)
    return moments


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults.kills", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    well = True
    for recipe in options.recipes:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="ftcli-kills-") as folder:
            tally = trial(recipe, Path(folder), options.count, options.seed)
        seconds = time.monotonic() - began
        title = f"kill -9 at random moments, {recipe}: the resumed run ends with the same bytes"
        print(f"{title}: {tally.held} of {tally.tried}, {seconds:.0f} s", flush=True)
        command = f"python -m benchmarks.faults.kills --recipes {recipe}" + (
            f" --count {options.count}" if options.count != COUNT else ""
        )
        if not options.no_record:
            figure.record(f"kills_{recipe}", title, tally, seconds, command)
        well &= not tally.failures
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
