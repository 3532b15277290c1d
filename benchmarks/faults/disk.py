"""Failing disks: write, fsync, rename, mkdir, open, link and unlink fail at every kind of file a run writes.

    python -m benchmarks.faults.disk [--count 30] [--seed 1] [--no-record]

A run is counted once: which operation meets which kind of file how often. Then runs are started in which one operation, drawn among those
of a kind, fails with ENOSPC, EIO or EROFS: `--count` places a kind. What must hold: no traceback; a run that ends says the path (and
for a full disk bytes) and has exit code 1 or 2; the newest checkpoint that was committed before loads; a resume without the fault
ends with the bytes of the run without faults. A log that cannot be written does not end the run.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import figure, forks, tiny_run

TITLE = "write, fsync, rename, mkdir, open, link, unlink fail at drawn places of each kind of file: said with path and bytes, checkpoints load, the resume ends with the same bytes"
KINDS = (("model and optimizer", r"\.safetensors$"), ("checkpoint state", r"state\.json$"), ("manifest", r"manifest\.json$"),
         ("checkpoint folder", r"checkpoints(/|$)"), ("metrics.jsonl", r"metrics\.jsonl"), ("train.log", r"train\.log"),
         ("TensorBoard", r"tensorboard"), ("predictions", r"predictions"), (".lock", r"\.lock$"),
         ("records", r"(config\.yaml|plan\.json|data\.json|environment\.json|command\.txt|schedule\.yaml|result\.json)"),
         ("token cache", r"^CACHE"), ("run folder", r"^RUN"))  # fmt: skip
"""Kind of file -> what its path matches, relative to the run or the cache; the first that fits."""
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)
LOGS = ("train.log", "TensorBoard", "token cache")
"""Kinds whose failure does not end a run."""


@dataclass(slots=True)
class Faults:
    """Wraps the operations of this process; counts those of RUN and CACHE, and lets one of them fail."""

    run: Path
    cache: Path
    fails: tuple[str, str, int, int] | None
    """Operation, kind of file, which of its calls (counted from 1), errno."""
    counts: dict[str, int]

    def kind(self, path: Any) -> str | None:
        if not isinstance(path, (str, os.PathLike)):
            return None
        text = os.path.abspath(os.fspath(path))
        for base, name in ((self.run, "RUN"), (self.cache, "CACHE")):
            if text == str(base) or text.startswith(f"{base}{os.sep}"):
                own = name + text[len(str(base)) :]
                return next(kind for kind, pattern in KINDS if re.search(pattern, own))
        return None

    def meet(self, operation: str, path: Any) -> None:
        """Counts an operation at a path.

        Raises:
            OSError: this is the one that fails.
        """
        kind = self.kind(path)
        if kind is None:
            return
        key = f"{operation} {kind}"
        self.counts[key] = self.counts.get(key, 0) + 1
        if self.fails and self.fails[:3] == (operation, kind, self.counts[key]):
            raise OSError(self.fails[3], os.strerror(self.fails[3]), os.fspath(path))


class Writing:
    """A file whose writes are counted; all else is the file's own."""

    def __init__(self, file: Any, path: Any, faults: Faults) -> None:
        self._file, self._path, self._faults = file, path, faults

    def write(self, data: Any) -> Any:
        self._faults.meet("write", self._path)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Writing:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._file.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._file)


def install(faults: Faults) -> None:
    """Wraps the operations of this process, for good."""
    real_open, fsync, save = io.open, os.fsync, None

    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        writes = any(letter in mode for letter in "wax+")
        if writes:
            faults.meet("open", file)
        made = real_open(file, mode, *args, **kwargs)
        return Writing(made, file, faults) if writes and faults.kind(file) else made

    def durable(descriptor: int) -> None:
        faults.meet("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    io.open = builtins.open = opened  # type: ignore[assignment]
    os.fsync = durable
    for operation, names in {
        "rename": ("rename", "replace"),
        "mkdir": ("mkdir",),
        "link": ("symlink",),
        "unlink": ("unlink", "remove"),
    }.items():
        for name in names:
            setattr(
                os,
                name,
                _met(getattr(os, name), operation, faults, 1 if operation in ("rename", "link") else 0),
            )
    import safetensors.torch as tensors
    from safetensors import SafetensorError

    save = tensors.save_file

    def saved(values: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        try:
            faults.meet("write", file)
        except OSError as error:
            real_open(file, "wb").write(b"half of it")
            raise SafetensorError(
                f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"
            ) from error
        save(values, file, *args, **kwargs)

    tensors.save_file = saved


def _met(function: Callable[..., Any], operation: str, faults: Faults, which: int) -> Callable[..., Any]:
    def met(*args: Any, **kwargs: Any) -> Any:
        faults.meet(operation, args[which])
        return function(*args, **kwargs)

    return met


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Counts the operations of a run, and lets `count` of each kind of file fail, one a run."""
    words = tiny_run.words(folder, "logger=tensorboard")
    forks.warm_up()
    reference, log = folder / "reference", folder / "reference.txt"
    counted = folder / "counts.json"

    def counting() -> None:
        faults = Faults(reference, folder / "cache-0", None, {})
        install(faults)
        import atexit

        os_exit = os._exit
        atexit.register(lambda: None)
        os._exit = lambda code: (counted.write_text(json.dumps(faults.counts)), os_exit(code))  # type: ignore[assignment]

    if forks.wait(
        forks.start(["train", *words, "--run-dir", str(reference)], log, folder / "cache-0", before=counting)
    ):
        sys.exit(log.read_text())
    expected, counts = tiny_run.outcome(reference), json.loads(counted.read_text())
    tally, draw, ended, kinds = figure.Tally(), random.Random(seed), 0, 0
    for kind, _ in KINDS:
        places = [(operation, place) for key, times in counts.items() for operation, _, name in [key.partition(" ")] if name == kind
                  for place in range(1, times + 1)]  # fmt: skip
        kinds += bool(places)
        drawn = draw.sample(places, min(count, len(places)))
        for operation, place in drawn:
            number = draw.choice(ERRORS)
            failure, stopped = one(
                folder / f"{tally.tried}", words, expected, (operation, kind, place, number)
            )
            ended += stopped
            what = f"{operation} {kind}, number {place}, {errno.errorcode[number]}"
            tally.count(f"{what}: {failure}" if failure else None)
    tally.measured = f"{kinds} kinds of file, {sum(counts.values())} places in a run; {ended} runs ended by the fault, the others went on"
    return tally


def one(
    folder: Path, words: list[str], expected: dict[str, str], fails: tuple[str, str, int, int]
) -> tuple[str | None, bool]:
    """Runs with one fault, and resumes; returns what did not hold, and whether the fault ended the run."""
    folder.mkdir()
    run, log, cache = folder / "run", folder / "log.txt", folder / "cache"
    arguments = ["train", *words, "--run-dir", str(run), "--resume"]
    code = forks.wait(
        forks.start(arguments, log, cache, before=lambda: install(Faults(run, cache, fails, {}))), seconds=60
    )
    said = forks.text_of(log)
    if forks.TRACEBACK in said:
        return f"traceback: {said[said.index(forks.TRACEBACK) :][-600:]}", True
    if code not in (0, 1, 2):
        return f"exit code {code}: {said[-300:]}", True
    if code and fails[1] in LOGS:
        return f"a log ended the run with {code}: {said[-300:]}", True
    if code and not re.search(re.escape(str(folder)), said.replace("\n", "")):
        return f"the path is not named: {said[-300:]}", True
    if code and fails[3] == errno.ENOSPC and not re.search(r"[\d,]+ (bytes )?are free|bytes", said):
        return f"no bytes are named: {said[-300:]}", True
    before = tiny_run.newest(run)
    resumed = folder / "resumed.txt"
    again = forks.wait(forks.start(arguments, resumed, cache), seconds=60)
    text = forks.text_of(resumed)
    if again or forks.TRACEBACK in text:
        return f"the resume ended with {again}: {text[-400:]}", bool(code)
    if code and before and f"continuing at step {before}" not in text and "nothing to resume" not in text:
        return f"the newest checkpoint, step {before}, was not used: {text[-300:]}", True
    differing = [name for name, value in tiny_run.outcome(run).items() if value != expected[name]]
    return (f"other bytes: {differing}" if differing else None), bool(code)


if __name__ == "__main__":
    sys.exit(figure.main("disk", TITLE, 30, trial))
