"""Memory that ends: allocation failures and RLIMIT_AS in steps, evaluations and saves.

    python -m benchmarks.faults.memory [--count 60] [--seed 1] [--no-record]

Every other run gets a failing allocation at a drawn passing of a step, an evaluation or a save, as torch's CPU allocator, its CUDA
allocator and Python report it; the others get a limit of their address space at that moment, so that real allocations fail. What must hold:
no traceback, exit code 0 or 1 with a panel, the newest checkpoint intact, and a resume without the fault runs to the end.
"""

from __future__ import annotations

import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults import figure, forks, tiny_run

TITLE = "RLIMIT_AS and allocation failures in step, evaluation and save: a panel, checkpoints intact, the resume runs to the end"
PLACES = ("step", "evaluation", "save")
TIMES = {"step": 6, "evaluation": 2, "save": 3}
"""How often a run of tiny_run passes each place, at least."""
SPARE = 1 << 20
"""Bytes a limited process may still take."""


def failures() -> list[Callable[[], BaseException]]:
    import torch

    return [MemoryError, lambda: torch.OutOfMemoryError("CUDA out of memory."),
            lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.")]  # fmt: skip


def install(place: str, times: int, fault: Callable[[], None]) -> None:
    """Calls `fault` when a place is reached for the given time, counted from 1, in the middle of its work."""
    from ftcli.checkpoint import store
    from ftcli.trainer.evaluation import Evaluator
    from ftcli.trainer.trainer import Trainer

    passed = 0

    def met(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal passed
            passed += 1
            if passed == times:
                fault()
            return real(*args, **kwargs)

        setattr(owner, name, wrapped)

    if place == "save":
        met(store, "_storable")
    elif place == "evaluation":
        met(Evaluator, "score")
    else:
        from ftcli.trainer import step as steps

        met(steps.TrainStep, "_backward")
    assert Trainer


def raising(error: Callable[[], BaseException]) -> Callable[[], None]:
    def fault() -> None:
        raise error()

    return fault


def limited() -> None:
    """Leaves SPARE bytes of address space above what the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Runs `count` runs with one fault each."""
    # Wide enough that a step needs more than what malloc has kept of earlier ones.
    words = tiny_run.words(folder)
    forks.warm_up()
    kinds, tally, draw, ended = failures(), figure.Tally(), random.Random(seed), 0
    for number in range(count):
        place, times = PLACES[number % 3], draw.randint(1, TIMES[PLACES[number % 3]])
        error = None if number % 2 else draw.choice(kinds)
        fault = limited if error is None else raising(error)
        mine = folder / str(number)
        mine.mkdir()
        arguments = ["train", *words, "--run-dir", str(mine / "run"), "--resume"]
        pid = forks.start(
            arguments,
            mine / "log.txt",
            folder / "cache",
            before=lambda p=place, t=times, f=fault: install(p, t, f),
        )
        code = forks.wait(pid, seconds=120)
        ended += code != 0
        failure = judge(mine, code, arguments, folder / "cache")
        what = "RLIMIT_AS" if error is None else type(error()).__name__
        tally.count(f"{what} in {place} {times}: {failure}" if failure else None)
    tally.measured = (
        f"{ended} runs were ended by the fault, the others made smaller micro-batches or had memory enough"
    )
    return tally


def judge(place: Path, code: int, arguments: list[str], cache: Path) -> str | None:
    """Returns what did not hold, or None."""
    said = forks.text_of(place / "log.txt")
    if forks.TRACEBACK in said or "terminate called" in said:
        return f"traceback: {said[-600:]}"
    if code not in (0, 1):
        return f"exit code {code}: {said[-300:]}"
    saved = tiny_run.newest(place / "run")
    again = forks.wait(forks.start(arguments, place / "resumed.txt", cache), seconds=120)
    text = forks.text_of(place / "resumed.txt")
    if again:
        return f"the resume ended with {again}: {text[-300:]}"
    if code and saved and f"continuing at step {saved}" not in text:
        return f"the checkpoint of step {saved} was not used"
    return None


if __name__ == "__main__":
    sys.exit(figure.main("memory", TITLE, 60, trial))
