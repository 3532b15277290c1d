"""A long run of tiny steps with a checkpoint each 500: memory, file descriptors and pace at its end are those of its beginning.

    python -m benchmarks.faults.long_run [--count 200000] [--no-record]

A forked process trains; its resident memory, open descriptors, threads and processor time are read from /proc whenever it has logged 500 more
steps. After the first tenth, in which caches fill, memory may grow by less than 1 % (medians of the first and last third of the samples),
descriptors and threads by none, and the processor time of a step may drift by less than 2 %. What else runs on the machine slows some stretches
and speeds up none, so the pace of a third is the lower quartile of its stretches of 2,000 steps.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import figure, forks, tiny_run
from benchmarks.faults.signals import logged

TITLE = "a long run of tiny steps, a checkpoint each 500: memory growth under 1 %, descriptors and threads constant, drift of a step under 2 %"
STEPS_SHOWN = 500
STRETCH = 4
"""Samples from one end of a stretch to the other."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at one moment."""

    step: int
    resident: int
    """Bytes."""
    descriptors: int
    threads: int
    processor: float
    """Seconds in user mode and in the kernel."""


def sample(pid: int, run: Path) -> Sample:
    place = Path(f"/proc/{pid}")
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return Sample(
        logged(run), int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        len(list((place / "fd").iterdir())), int(fields[17]), (int(fields[11]) + int(fields[12])) / ticks,
    )  # fmt: skip


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Makes `count` steps and judges the samples."""
    words = tiny_run.words(folder, f"trainer.max_steps={count}", "trainer.save_every_n_steps=500", "trainer.eval_every_n_steps=5000",
                           f"trainer.log_every_n_steps={STEPS_SHOWN}", "trainer.batch_size=2", "trainer.epochs=1000000", f"seed={seed}")  # fmt: skip
    forks.warm_up()
    run, log = folder / "run", folder / "log.txt"
    pid = forks.start(["train", *words, "--run-dir", str(run), "--quiet"], log, folder / "cache")
    samples: list[Sample] = []
    metrics, size = run / "metrics.jsonl", 0
    while not forks.ended(pid):
        time.sleep(0.02)
        if not metrics.exists() or metrics.stat().st_size == size:
            continue
        size = metrics.stat().st_size
        with suppress(FileNotFoundError):  # it has ended
            now = sample(pid, run)
            if not samples or now.step > samples[-1].step:
                samples.append(now)
    code = forks.wait(pid)
    tally = figure.Tally()
    tally.count(f"exit code {code}: {forks.text_of(log)[-400:]}" if code else None)
    warm = [one for one in samples if one.step > count / 10]
    if len(warm) < 12:
        sys.exit(f"only {len(warm)} samples: more steps are needed")
    third = len(warm) // 3
    early, late = warm[:third], warm[-third:]
    growth = (
        statistics.median(one.resident for one in late) / statistics.median(one.resident for one in early) - 1
    )
    drift = pace(late) / pace(early) - 1
    kinds = {(one.descriptors, one.threads) for one in (early[0], early[-1], late[0], late[-1])}
    most = max(one.descriptors for one in late) - max(one.descriptors for one in early)
    tally.count(f"memory grew by {growth:.2%}" if growth >= 0.01 else None)
    tally.count(f"descriptors grew by {most}" if most > 0 else None)
    tally.count(f"a step's processor time drifted by {drift:.2%}" if abs(drift) >= 0.02 else None)
    tally.measured = (f"{count:,} steps: memory {growth:+.2%} of {early[0].resident / 2**20:.0f} MiB, descriptors {most:+d} "
                      f"(of {early[-1].descriptors}, {len(kinds)} states), processor time of a step {drift:+.2%} of {1000 * pace(early):.2f} ms")  # fmt: skip
    return tally


def pace(samples: list[Sample]) -> float:
    """Returns the processor seconds a step: the lower quartile over stretches."""
    ends = zip(samples[:-STRETCH], samples[STRETCH:], strict=True)
    return statistics.quantiles(((b.processor - a.processor) / (b.step - a.step) for a, b in ends), n=4)[0]


if __name__ == "__main__":
    sys.exit(figure.main("long_run", TITLE, 200_000, trial))
