"""Commands of ftcli in watched processes of their own, or some after the other in one: what came of each."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from benchmarks.faults import forks, sources, watch

SECONDS = 30.0
"""A command that takes longer hangs, and is killed."""
SECRET = "canary-5f3759df-secret"


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    case: sources.Case
    folder: Path
    """Holds what it printed, what the watch recorded, its home and its cache."""
    code: int
    """Negative for a signal."""
    late: bool
    """It was killed because it hung."""
    seconds: float = 0.0


@dataclass(slots=True)
class Batch:
    """A process that runs cases one after the other."""

    cases: list[sources.Case]
    place: Path
    pid: int
    done: int = 0
    """Cases that have ended."""
    began: float = field(default_factory=time.monotonic)
    """When the case that runs now was begun, by the clock of the parent."""

    def news(self) -> Iterator[Ended]:
        """Yields the cases that have ended since the last call."""
        for line in forks.text_of(self.place / "codes.txt").splitlines()[self.done :]:
            code, _, seconds = line.partition(" ")
            yield Ended(self.cases[self.done], self.place / str(self.done), int(code), False, float(seconds))
            self.done, self.began = self.done + 1, time.monotonic()


def begin(cases: list[sources.Case], place: Path) -> Batch:
    """Forks a process that runs the cases; what may change is their folders and its own place."""
    place.mkdir(parents=True)
    (place / "codes.txt").touch()
    pid = os.fork()
    if not pid:
        try:
            work(cases, place)
        finally:
            os._exit(0)
    return Batch(cases, place, pid)


def work(cases: list[sources.Case], place: Path) -> None:
    """Runs the cases in this process, watched; a line of codes.txt for each: its exit code and seconds."""
    violations, seen = place / "violations.txt", 0
    codes = os.open(place / "codes.txt", os.O_WRONLY | os.O_APPEND)
    os.environ |= dict.fromkeys(watch.SECRETS, SECRET) | {"COLUMNS": "400"}
    watch.watch([place, *(case.folder for case in cases)], violations)
    for number, case in enumerate(cases):
        own, began = place / str(number), time.monotonic()
        (own / "home").mkdir(parents=True)
        os.environ |= {
            "HOME": str(own / "home"),
            "TMPDIR": str(own / "home"),
            "FTCLI_CACHE": str(own / "cache"),
        }
        tempfile.tempdir = None  # it is TMPDIR of this case
        forks.redirect(own / "said.txt")
        os.chdir(case.folder)
        code = forks.call(case.words)
        recorded = violations.read_bytes()
        (own / "violations.txt").write_bytes(recorded[seen:])
        seen = len(recorded)
        os.write(codes, f"{code} {time.monotonic() - began:.3f}\n".encode())


def outcomes(cases: Iterator[sources.Case], folder: Path, *, workers: int, size: int) -> Iterator[Ended]:
    """Runs all cases.

    A case that ends its process or hangs is an outcome too; a new process goes on after it.

    Args:
        cases: what to run.
        folder: gets a folder for each process.
        workers: processes at a time.
        size: cases of a process.
    """
    active, rest, number = list[Batch](), list[list[sources.Case]](), 0
    while True:
        while len(active) < workers and (chosen := rest.pop() if rest else list(islice(cases, size))):
            number += 1
            active.append(begin(chosen, folder / f"{number:05}"))
        if not active:
            return
        time.sleep(0.003)
        for batch in list(active):
            ended = forks.ended(batch.pid)
            yield from batch.news()
            late = not ended and time.monotonic() - batch.began > SECONDS
            if not ended and not late:
                continue
            active.remove(batch)
            code = forks.wait(batch.pid, seconds=0)
            yield from batch.news()
            if batch.done < len(batch.cases):
                yield Ended(
                    batch.cases[batch.done],
                    batch.place / str(batch.done),
                    code,
                    late,
                    time.monotonic() - batch.began,
                )
            if left := batch.cases[batch.done + 1 :]:
                rest.append(left)
