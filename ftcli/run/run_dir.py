"""The run directory: where outputs go, what is recorded, and which process may write there."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ftcli.errors import Problem, RunDirError, nearest, typed_words
from ftcli.run.lock import LOCK, hold, is_held
from ftcli.storage.atomic import utf8, write_atomic
from ftcli.storage.disk import disk_error
from ftcli.storage.new_file import require_writable
from ftcli.storage.plain_file import links_and_devices
from ftcli.storage.run_files import read_record
from ftcli.storage.temporary import STAGE, sweep

ROOT = Path("runs")
MARK = "config.yaml"
"""Written last: a folder without it is no run."""
LEFTOVERS = frozenset(
    {LOCK, "plan.json", "schedule.yaml", "hashes.json", "data.json", "environment.json", "command.txt"}
)
"""Written before the mark: a start that was killed leaves no more than these."""
LINKS = frozenset({"checkpoints/best", "checkpoints/last"})
"""The links that a run makes itself, to folders beside them."""
STAMP = re.compile(r"\d{8}-\d{6}")


class RunDir:
    """Paths and files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_yaml, self.command_txt = path / MARK, path / "command.txt"
        self.plan_json, self.data_json = path / "plan.json", path / "data.json"
        self.environment_json, self.result_json = path / "environment.json", path / "result.json"
        self.metrics_jsonl, self.train_log = path / "metrics.jsonl", path / "train.log"
        self.pieces_json, self.hashes_json = path / "pieces.json", path / "hashes.json"
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
            target = expanded_strictly(run_dir)
        require_writable(target, folder=True)
        if cls.existing(target) is not None:
            hint = f"add --resume, or type ftcli resume {typed_words(target)}"
            raise RunDirError(Problem(f"--run-dir {target}", "holds a run already", hint))
        if not _is_vacant(target):
            raise RunDirError(
                Problem(f"--run-dir {target}", "is not empty and holds no run", "choose another directory")
            )
        return target

    @classmethod
    @contextmanager
    def create(cls, recipe: str, *, run_dir: Path | None) -> Iterator[RunDir]:
        """Makes and locks a new run; one that fails before config.yaml is written leaves nothing.

        Raises:
            RunDirError: as `probe`, or another process writes there.
        """
        run = cls(cls.probe(recipe, run_dir=run_dir))
        made = [p for p in (run.path, *run.path.parents) if not p.exists()]
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = Problem(str(run.path), f"cannot be made: {error.strerror}", "choose another place")
            raise disk_error(error.errno, problem) from error
        with run.locked():
            # Another process may have begun and ended here since the probe; only the lock's owner deletes.
            if run.config_yaml.exists():
                raise RunDirError(
                    Problem(
                        str(run.path),
                        "holds a run already",
                        f"type ftcli resume {typed_words(run.path)}",
                    )
                )
            try:
                yield run
            finally:
                if not run.config_yaml.exists():
                    _undo(run.path, made)

    @classmethod
    def existing(cls, path: Path) -> RunDir | None:
        """Returns the run in a directory, or None where there is none.

        Raises:
            RunDirError: the directory may not be looked into.
        """
        run = cls(expanded_strictly(path))
        try:
            # What is there but no plain file is the reader's to refuse, with words of its own.
            run.config_yaml.lstat()
        except PermissionError as error:
            raise RunDirError(Problem(str(path), f"cannot be read: {error.strerror}")) from error
        except (OSError, ValueError):  # none, or a name that no file system takes
            return None
        return run

    @classmethod
    def find(cls, name: str) -> RunDir:
        """Returns a run by path, by run-id prefix, or the newest for `last`.

        Raises:
            RunDirError: nothing, or more than one, fits.
        """
        direct = cls.existing(Path(name)) if name else None
        if direct is not None:
            return direct
        runs = cls.all()
        if name == "last" and runs:
            return runs[-1]
        ids = {run: (run.path.name, run.path.name.rpartition("-")[2]) for run in runs}
        fitting = [run for run, own in ids.items() if name and any(part.startswith(name) for part in own)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            message = f"{name!r} fits " + ", ".join(str(r.path) for r in fitting[:5])
            raise RunDirError(Problem("RUN", message, "type more of the id"))
        near = nearest(name, ["last", *(part for own in ids.values() for part in own)])
        if not runs:
            hint = f"there are no runs under {ROOT}/: ftcli train makes one; the path of a run elsewhere works too"
        elif near:
            hint = f"did you mean {near[0]}?"
        else:
            hint = f"there are {len(runs)} runs under {ROOT}/, which ftcli runs lists; a path works too"
        raise RunDirError(Problem("RUN", f"there is no run {name!r}", hint))

    @classmethod
    def all(cls) -> list[RunDir]:
        """Returns the runs under ./runs, oldest first."""
        runs = [cls(mark.parent) for mark in ROOT.glob(f"*/*/{MARK}")]
        return sorted(runs, key=lambda run: (*run.began(), str(run.path)))

    def began(self) -> tuple[str, int]:
        """Returns the time in the name, and the time of environment.json, which is written once.

        The second decides between runs of one second, and stands in for the first where `--run-dir`
        gave another name. A folder without either file counts by its own time.
        """
        files = (self.environment_json, self.config_yaml)
        file = next((file for file in files if file.exists()), self.path)
        written = file.stat().st_mtime_ns
        named = STAMP.match(self.path.name)
        stamp = (
            named.group() if named else datetime.fromtimestamp(written / 1e9, UTC).strftime("%Y%m%d-%H%M%S")
        )
        return stamp, written

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for this process; the lock dies with its owner.

        Raises:
            RunDirError: another process is writing this run, or nothing can be written here.
        """
        with hold(self.path):
            # Before links are refused: a kill, or a disk that failed, while `last` is replaced leaves a temporary link.
            for folder in (self.path, self.predictions, self.checkpoints):
                if not folder.is_symlink():
                    sweep(folder, alone=True)
            self._refuse_ways_out()
            yield

    def _refuse_ways_out(self) -> None:
        """Raises RunDirError where a link in the directory could make a write end elsewhere, or a FIFO stop it."""
        found = [*islice(links_and_devices(self.path, LINKS), 5)]
        if found:
            message = "is a link, or no plain file: a run writes into its own directory only"
            hint = "put the folder or file itself in its place, or move the whole run directory"
            raise RunDirError(*(Problem(str(path), message, hint) for path in found))

    def is_locked(self) -> bool:
        """Returns whether a process is writing this run now.

        Takes the lock for an instant, shared with others who ask, and leaves the file as it is.
        """
        return is_held(self.path)

    def is_finished(self) -> bool:
        return self.result_json.is_file()

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        self.write_text(name, json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        self.seal(name, hashlib.sha256(utf8(text)).hexdigest())
        write_atomic(self.path / name, text)

    def seal(self, name: str, sha256: str) -> None:
        """Adds a file's hash to hashes.json, for `ftcli verify`.

        It is written before the file, and that of the file's last content stays: a kill between the two leaves no file
        without its hash.

        Args:
            name: of the file in the directory.
            sha256: of what it is about to hold.
        """
        known: dict[str, list[str]] = {}
        with suppress(RunDirError):  # none yet, or a damaged one: what is written from now on has its hash
            known = read_record(self.hashes_json)
        before = [one for one in known.get(name, []) if one != sha256]
        hashes = known | {name: [*before[-1:], sha256]}
        write_atomic(self.hashes_json, json.dumps(hashes, indent=1, sort_keys=True) + "\n")


def expanded_strictly(path: Path) -> Path:
    """Returns a path with `~` replaced.

    Raises:
        RunDirError: `~name` of a user who is not here.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~name of a user who is not here
        raise RunDirError(Problem(str(path), str(error), "type the whole path")) from error


def _is_vacant(path: Path) -> bool:
    """Returns whether a run may begin here: nothing is here, or what a killed start left."""
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    left_over = all(name in LEFTOVERS or name.startswith(STAGE) for name in names)
    return not names or (LOCK in names and left_over)


def _undo(path: Path, made: list[Path]) -> None:
    """Takes back a start: folders it made vanish; of a folder that was there, its files do."""
    if path in made:
        shutil.rmtree(path, ignore_errors=True)
    for name in LEFTOVERS if path.is_dir() else ():
        (path / name).unlink(missing_ok=True)
    for parent in made[1:]:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()
