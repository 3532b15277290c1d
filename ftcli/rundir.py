"""The run directory: where outputs go, what is recorded, and which process may write there."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import secrets
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ftcli.checkpoint.commit import write_atomic
from ftcli.errors import Problem, RunDirError, nearest

ROOT = Path("runs")
MARK = "config.yaml"
"""Written last: a folder without it is no run."""
LEFTOVERS = frozenset({"plan.json", "data.json", "environment.json", "command.txt"})
"""What a run that was killed before its config.yaml leaves; it is written over."""
SECRET = re.compile(r"(token|password|secret|api_?key)", re.IGNORECASE)
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "peft",
    "hydra-core",
    "omegaconf",
    "numpy",
    "safetensors",
)


class RunDir:
    """Paths and files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan_json, self.data_json = path / "plan.json", path / "data.json"
        self.environment_json, self.result_json = path / "environment.json", path / "result.json"
        self.metrics_jsonl, self.train_log = path / "metrics.jsonl", path / "train.log"
        self.checkpoints, self.predictions, self.tensorboard = (
            path / "checkpoints",
            path / "predictions",
            path / "tensorboard",
        )

    @classmethod
    def probe(cls, recipe: str, *, run_dir: Path | None) -> Path:
        """Returns where a new run would go; writes nothing.

        Raises:
            RunDirError: the place holds a run or other files, or cannot be written.
        """
        if run_dir is None:
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            target = ROOT / recipe / f"{stamp}-{secrets.token_hex(3)}"
        else:
            target = run_dir.expanduser()
            if (target / MARK).exists():
                hint = f"add --resume, or type ftcli resume {target}"
                raise RunDirError(Problem(f"--run-dir {run_dir}", "holds a run already", hint))
            if target.is_dir() and any(
                p.name not in LEFTOVERS and not p.name.startswith(".") for p in target.iterdir()
            ):
                raise RunDirError(
                    Problem(
                        f"--run-dir {run_dir}", "is not empty and holds no run", "choose another directory"
                    )
                )
        require_writable(target)
        return target

    @classmethod
    @contextmanager
    def create(cls, recipe: str, *, run_dir: Path | None) -> Iterator[RunDir]:
        """Makes and locks a new run; one that fails before config.yaml is written leaves nothing."""
        run = cls(cls.probe(recipe, run_dir=run_dir))
        made = [p for p in (run.path, *run.path.parents) if not p.exists()]
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirError(Problem(str(run.path), f"cannot be made: {error.strerror}")) from error
        try:
            with run.locked():
                yield run
        finally:
            if not (run.path / MARK).exists():
                shutil.rmtree(run.path, ignore_errors=True)
                for parent in made[1:]:
                    with_nothing = parent.is_dir() and not any(parent.iterdir())
                    if with_nothing:
                        parent.rmdir()

    @classmethod
    def existing(cls, path: Path) -> RunDir | None:
        """Returns the run in a directory, or None where there is none yet."""
        return cls(path.expanduser()) if (path.expanduser() / MARK).is_file() else None

    @classmethod
    def find(cls, name: str) -> RunDir:
        """Returns a run by path, by run-id prefix, or the newest for `last`.

        Raises:
            RunDirError: nothing, or more than one, fits.
        """
        direct = cls.existing(Path(name))
        if direct is not None:
            return direct
        runs = cls.all()
        if name == "last" and runs:
            return runs[-1]
        fitting = [
            r for r in runs if r.path.name.startswith(name) or r.path.name.rpartition("-")[2].startswith(name)
        ]
        if len(fitting) == 1:
            return fitting[0]
        known = [r.path.name for r in runs]
        if fitting:
            message = f"{name!r} fits " + ", ".join(str(r.path) for r in fitting[:5])
            raise RunDirError(Problem("RUN", message, "type more of the id"))
        near = nearest(name, known)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"there are {len(known)} runs under {ROOT}/; a path works too"
        )
        raise RunDirError(Problem("RUN", f"there is no run {name!r}", hint))

    @classmethod
    def all(cls) -> list[RunDir]:
        """Returns the runs under ./runs, oldest first by the time in their names."""
        marks = [mark.parent for mark in ROOT.glob(f"*/*/{MARK}")]
        return [cls(path) for path in sorted(marks, key=lambda p: (p.name, str(p)))]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for this process; the lock dies with its owner.

        Raises:
            RunDirError: another process is writing this run.
        """
        with (self.path / ".lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                owner = file.read().strip() or "another process"
                raise RunDirError(
                    Problem(str(self.path), f"is being written by {owner}", "wait for it, or stop it first")
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def is_finished(self) -> bool:
        return self.result_json.is_file()

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        self.write_text(name, json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        write_atomic(self.path / name, text)


def require_writable(path: Path) -> None:
    """Raises RunDirError when nothing could be written at `path`."""
    place = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    if (place.is_file() and place != path.absolute()) or not os.access(place, os.W_OK):
        raise RunDirError(
            Problem(str(path), f"cannot be written: {place} is not writable", "choose another place")
        )
    if place.is_dir() and place == path.absolute() and path.suffix:
        raise RunDirError(Problem(str(path), "is a folder", "name a file"))


def write_new_text(path: Path, text: str) -> None:
    """Writes a file the user named; folders on the way are made."""
    require_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)


def command_line(command: str, words: list[str]) -> str:
    """Returns the words to type again, secrets masked."""
    return shlex.join(["ftcli", command, *(mask_secret(word) for word in words)])


def mask_secret(word: str) -> str:
    """Hides the value of a key that names a secret, and user:password@ in an address."""
    key, sign, value = word.partition("=")
    if sign and SECRET.search(key):
        return f"{key}=***"
    return re.sub(r"(\w+://)[^/@\s]+@", r"\1***@", word)


def environment(decisions: dict[str, Any]) -> dict[str, Any]:
    """Returns versions, hardware and decisions; no environment variables, no secrets."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return {
        "decisions": decisions,
        "ftcli": _own_version(),
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": versions,
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "gpu": _gpu_name(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _own_version() -> str:
    from ftcli import __version__

    return __version__


def _git_commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _gpu_name() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
