"""Hostile input: words, schedules, data files, configs, models and images, each in a watched process of its own.

    python -m benchmarks.faults.hostile words|schedules|data|configs|models|images [--count N] [--seed 1] [--keep DIR] [--workers 2] [--no-record]

A case is a command of ftcli in a folder. It is forked from a process that has the libraries imported, so that a thousand take minutes. What must
hold: exit code 0, 2 or 3 (1 where memory or a number ran out), no traceback, no end after 30 seconds, nothing started, no network, nothing unpickled,
nothing written outside the folder (benchmarks/faults/watch.py), no secret of the environment in any byte written, no control character in what is printed.
With --keep the folder of each case that did not hold stays.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import figure, forks, sources, watch

SECONDS = 30.0
CODES = (0, 2, 3)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SECRET = "canary-5f3759df-secret"


@dataclass(slots=True)
class Running:
    """A case whose process has begun."""

    case: sources.Case
    pid: int
    folder: Path
    ends: float


def begin(case: sources.Case, place: Path) -> Running:
    """Starts a case in its folder; what is allowed to change is that folder alone."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "own").mkdir()
    environment = dict.fromkeys(watch.SECRETS, SECRET) | {
        "HOME": str(place / "own"),
        "TMPDIR": str(place / "own"),
    }
    pid = forks.start(case.words, place / "said.txt", place / "own" / "cache", environment=environment, folder=case.folder,
                      before=lambda: watch.watch([place, case.folder], place / "violations.txt"))  # fmt: skip
    return Running(case, pid, place, time.monotonic() + SECONDS)


def judge(running: Running, code: int, late: bool) -> str | None:
    """Returns what did not hold of a case that has ended, or None."""
    said = forks.text_of(running.folder / "said.txt")
    wrong = []
    if late:
        wrong.append(f"no end after {SECONDS:.0f} s")
    elif running.case.control and code:
        wrong.append(f"the control ended with {code}: {said[-300:]}")
    elif code not in CODES and not (code == 1 and re.search(r"memory|nan|not finite|infinite", said)):
        wrong.append(f"exit code {code}")
    if forks.TRACEBACK in said:
        wrong.append("traceback: " + " ".join(said[said.rindex(forks.TRACEBACK) :].split())[-200:])
    wrong += sorted(set(forks.text_of(running.folder / "violations.txt").splitlines()))[:3]
    if found := CONTROL.search(said):
        wrong.append(f"a control character is printed: {found.group()!r}")
    if secret := leaked(running):
        wrong.append(f"a secret of the environment is in {secret}")
    return (
        f"{running.case.name}: {'; '.join(wrong)} <- {shlex.join(['ftcli', *running.case.words])[:300]}"
        if wrong
        else None
    )


def leaked(running: Running) -> str | None:
    """Returns the first file that holds the secret, or None."""
    for base in {running.folder, running.case.folder}:
        for folder, _, names in os.walk(base):
            for name in names:
                file = Path(folder, name)
                if file.is_symlink() or not file.is_file() or file.stat().st_size > 1 << 26:
                    continue
                if SECRET.encode() in file.read_bytes():
                    return str(file.relative_to(base))
    return None


def run(cases: Iterator[sources.Case], folder: Path, *, workers: int, keep: Path | None) -> figure.Tally:
    """Runs cases, `workers` at a time, and counts those that hold."""
    forks.warm_up()
    tally, active, codes, number, slowest = figure.Tally(), list[Running](), Counter[int](), 0, 0.0
    waiting = True
    while waiting or active:
        while waiting and len(active) < workers:
            case = next(cases, None)
            if case is None:
                waiting = False
                break
            number += 1
            active.append(begin(case, folder / "cases" / f"{number:05}"))
        time.sleep(0.003)
        for one in [one for one in active if forks.ended(one.pid) or time.monotonic() > one.ends]:
            active.remove(one)
            late = not forks.ended(one.pid)
            code = forks.wait(one.pid, seconds=0)
            slowest = max(slowest, SECONDS + time.monotonic() - one.ends)
            codes[code] += 1
            failure = judge(one, code, late)
            tally.count(failure)
            if failure and keep:
                shutil.copytree(one.folder, keep / one.folder.name, symlinks=True)
                shutil.copytree(
                    one.case.folder, keep / one.folder.name / "input", symlinks=True, dirs_exist_ok=True
                )
            shutil.rmtree(one.folder, ignore_errors=True)
            if one.case.own:
                shutil.rmtree(one.case.folder, ignore_errors=True)
    tally.measured = f"exit codes {', '.join(f'{code}: {times}' for code, times in sorted(codes.items()))}; slowest {slowest:.1f} s"
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults.hostile", description=__doc__.splitlines()[0]
    )
    parser.add_argument("what", nargs="+", choices=list(sources.SOURCES))
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    well = True
    for what in options.what:
        source = sources.SOURCES[what]
        count, began = options.count or source.count, time.monotonic()
        with tempfile.TemporaryDirectory(prefix="ftcli-hostile-") as name:
            folder = Path(name)
            tally = run(
                source.cases(folder / "input", count, options.seed),
                folder,
                workers=options.workers,
                keep=options.keep,
            )
        seconds = time.monotonic() - began
        title = f"{source.title}: no traceback, no hang, exit code 0, 2 or 3, nothing executed, nothing read from the environment, nothing outside"
        print(f"{title}: {tally.held} of {tally.tried} held, {seconds:.0f} s. {tally.measured}", flush=True)
        if not options.no_record:
            command = f"python -m benchmarks.faults.hostile {what}" + (
                f" --count {count}" if count != source.count else ""
            )
            figure.record(f"hostile_{what}", title, tally, seconds, command)
        well &= not tally.failures
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
