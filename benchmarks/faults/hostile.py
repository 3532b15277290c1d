"""Hostile input: words, schedules, data files, configs, models, images and names, in watched processes.

    python -m benchmarks.faults.hostile words|schedules|data|configs|models|images|names [--count N] [--seed 1] [--keep DIR] [--workers 2] [--no-record]

A case is a command of ftcli in a folder. It is forked from a process that has the libraries imported, so that a thousand take minutes; fifty data
files are read by one process, one after the other. What must hold: exit code 0, 2 or 3 (1 where memory or a number ran out), no traceback, no end
after 30 seconds, nothing started, no network, nothing unpickled, nothing written outside the folder (benchmarks/faults/watch.py), no secret of
the environment in any byte written, no control character in what is printed.
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
from pathlib import Path

from benchmarks.faults import figure, forks, sources
from benchmarks.faults.batches import SECONDS, SECRET, Ended, outcomes

CODES = (0, 2, 3)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def judge(ended: Ended) -> str | None:
    """Returns what did not hold of a case that has ended, or None."""
    said, code = forks.text_of(ended.folder / "said.txt"), ended.code
    wrong = []
    if ended.late:
        wrong.append(f"no end after {SECONDS:.0f} s")
    elif ended.case.control and code:
        wrong.append(f"the control ended with {code}: {said[-300:]}")
    elif code not in CODES and not (code == 1 and re.search(r"memory|nan|not finite|infinite", said)):
        wrong.append(f"exit code {code}")
    if forks.TRACEBACK in said:
        wrong.append("traceback: " + " ".join(said[said.rindex(forks.TRACEBACK) :].split())[-200:])
    wrong += sorted(set(forks.text_of(ended.folder / "violations.txt").splitlines()))[:3]
    if found := CONTROL.search(said):
        wrong.append(f"a control character is printed: {found.group()!r}")
    if secret := leaked(ended):
        wrong.append(f"a secret of the environment is in {secret}")
    return (
        f"{ended.case.name}: {'; '.join(wrong)} <- {shlex.join(['ftcli', *ended.case.words])[:300]}"
        if wrong
        else None
    )


def leaked(ended: Ended) -> str | None:
    """Returns the first file that holds the secret, or None."""
    for base in {ended.folder, ended.case.folder}:
        for folder, _, names in os.walk(base):
            for name in names:
                file = Path(folder, name)
                if file.is_symlink() or not file.is_file() or file.stat().st_size > 1 << 26:
                    continue
                if SECRET.encode() in file.read_bytes():
                    return str(file.relative_to(base))
    return None


def run(
    cases: Iterator[sources.Case], folder: Path, *, workers: int, size: int, keep: Path | None
) -> figure.Tally:
    """Runs cases, `workers` processes of `size` cases at a time, and counts those that hold."""
    forks.warm_up()
    tally, codes, slowest = figure.Tally(), Counter[int](), 0.0
    for ended in outcomes(cases, folder / "cases", workers=workers, size=size):
        slowest = max(slowest, ended.seconds)
        codes[ended.code] += 1
        failure = judge(ended)
        tally.count(failure)
        if failure and keep:
            kept = keep / f"{tally.tried:05}"
            shutil.copytree(ended.folder, kept, symlinks=True)
            shutil.copytree(ended.case.folder, kept / "input", symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(ended.folder, ignore_errors=True)
        if ended.case.own:
            shutil.rmtree(ended.case.folder, ignore_errors=True)
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
                size=source.size,
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
