"""The files of a run directory against their hashes: records, checkpoints and metrics.jsonl."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.config.saved import restored
from ftcli.errors import FtcliError
from ftcli.run.lock import LOCK
from ftcli.run.run_dir import LINKS, RunDir
from ftcli.storage.event_lines import LOST, bounded_lines
from ftcli.storage.manifest import MANIFEST, file_sha256, verify
from ftcli.storage.plain_file import links_and_devices, open_plain, refuse_special
from ftcli.storage.run_files import FILES, read_record, read_text
from ftcli.storage.temporary import STAGE, TRASH

if TYPE_CHECKING:
    from ftcli.checkpoint.checkpoint import Checkpoint


MOST_EVENTS = 10**7
"""Of a metrics.jsonl that are looked at."""
OWN = frozenset(
    {
        *FILES,
        "hashes.json",
        "metrics.jsonl",
        "train.log",
        LOCK,
        "checkpoints",
        "predictions",
        "tensorboard",
        "profile",
    }
)
"""Names in a run directory."""
SHOWN = 5


class Outcome(StrEnum):
    """Of one check."""

    same = "same"
    differs = "differs"
    unchecked = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    outcome: Outcome
    detail: str


def check_files(run: RunDir) -> list[Check]:
    """Compares each file with its hash in hashes.json; runs of versions without one are read for their shape only."""
    try:
        sealed = read_record(run.hashes_json) if os.path.lexists(run.hashes_json) else {}
    except FtcliError as error:
        return [Check("hashes.json", Outcome.differs, in_one_line(error))]
    names = sorted({*sealed, *(name for name in FILES if os.path.lexists(run.path / name))} - {"hashes.json"})
    return [_file(run, name, sealed.get(name)) for name in names]


def _file(run: RunDir, name: str, hashes: list[str] | None) -> Check:
    path = run.path / name
    own = name.removeprefix("predictions/")  # the one folder whose files are sealed
    if Path(own).name != own or own == ".." or "\0" in own:
        return Check("hashes.json", Outcome.differs, f"it names {name[:200]!r}, which is no file of a run")
    try:
        refuse_special(path)
        if hashes is not None and file_sha256(path) not in hashes:
            return Check(name, Outcome.differs, f"{path} is not what was written: its sha256 is another")
        if name in FILES and name.endswith(".json"):
            read_record(path)
        elif name == "config.yaml":
            restored(path, [])
        elif name in FILES:
            read_text(path)
    except FtcliError as error:
        return Check(name, Outcome.differs, in_one_line(error))
    except OSError as error:
        return Check(name, Outcome.differs, f"{path} cannot be read: {error.strerror or error}")
    if hashes is None:
        return Check(name, Outcome.unchecked, "readable; its hash was not recorded")
    return Check(name, Outcome.same, "sha256")


def check_checkpoints(run: RunDir) -> tuple[list[Checkpoint], list[Check]]:
    """Returns the checkpoints that are intact, oldest first, and what was found of each."""
    from ftcli.checkpoint.checkpoint import NAME, open_checkpoint

    intact, checks = [], []
    try:
        for path in run.checkpoints.iterdir():
            path.lstat()
    except FileNotFoundError:  # no step was saved, or none is kept
        return [], []
    except OSError as error:
        return [], [Check("checkpoints", Outcome.unchecked, f"cannot be read: {error.strerror}")]
    for path in sorted(path for path in run.checkpoints.glob("step-*") if NAME.fullmatch(path.name)):
        try:
            intact.append(open_checkpoint(path))
            checks.append(
                Check(f"checkpoints/{path.name}", Outcome.same, f"sha256 of {len(intact[-1].files)} files")
            )
        except FtcliError as error:
            checks.append(Check(f"checkpoints/{path.name}", Outcome.differs, in_one_line(error)))
    return intact, checks


def check_others(run: RunDir) -> list[Check]:
    """Names what lies in the directory and was not written by the run; nothing that was checked rests on it."""
    try:
        found = sorted(_others(run))
    except OSError as error:
        return [Check("other files", Outcome.unchecked, f"cannot be looked at: {error.strerror}")]
    if not found:
        return []
    shown = ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else "")
    return [Check("other files", Outcome.unchecked, f"the run did not write {shown}")]


def _others(run: RunDir) -> Iterator[str]:
    """Yields paths in the directory: links and devices, files beside those of a manifest, and names that no run has."""
    odd = set(links_and_devices(run.path, LINKS))
    for path in odd:
        kind = "a link" if path.is_symlink() else "no file"
        yield f"{path.relative_to(run.path)} ({kind}: resume refuses it)"
    for folder in run.checkpoints.glob("step-*"):
        with suppress(FtcliError):  # a damaged one names no files, and has its own line
            named = {MANIFEST, *verify(folder, hashes=False)["files"]}
            yield from (
                str(path.relative_to(run.path))
                for path in folder.iterdir()
                if path.name not in named and path not in odd
            )
    for path in run.path.iterdir():
        known = path.name in OWN or path.name.startswith(("seed-", STAGE, TRASH))
        if not known and path not in odd:
            yield path.name


def check_metrics(run: RunDir) -> list[Check]:
    """Compares metrics.jsonl with the hash that the newest intact checkpoint has of it; an older one narrows the place down."""
    what, path = "metrics.jsonl", run.metrics_jsonl
    seals = []
    for folder in run.checkpoints.glob("step-*"):
        try:
            about = verify(folder, hashes=False)["about"].get("metrics")
        except FtcliError:
            continue
        if isinstance(about, dict) and isinstance(about.get("bytes"), int):
            seals.append((about["bytes"], about.get("sha256")))
    if not seals:
        return [Check(what, Outcome.unchecked, "no checkpoint has its hash")] if os.path.lexists(path) else []
    good = 0
    for num_bytes, sha256 in sorted(seals, key=lambda seal: seal[0]):
        if _sha256_of_first(path, num_bytes) != sha256:
            return [
                Check(
                    what,
                    Outcome.differs,
                    f"{path} is not what was written between byte {good:,} and byte {num_bytes:,}",
                )
            ]
        good = num_bytes
    return [Check(what, Outcome.same, f"sha256 of its first {good:,} bytes, as the newest checkpoint has it")]


def _sha256_of_first(path: Path, num_bytes: int) -> str | None:
    digest, left = hashlib.sha256(), num_bytes
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            while left and (block := file.read(min(left, 2**20))):
                digest.update(block)
                left -= len(block)
    except OSError:
        return None
    return digest.hexdigest() if not left else None


def read_events(run: RunDir) -> list[dict[str, Any]]:
    """Returns the events of metrics.jsonl; `lost` in the place of each that cannot be read or was lost."""
    found: list[dict[str, Any]] = []
    for line in bounded_lines(run.metrics_jsonl):
        event = _event(line)
        lost = event.get("events") if event.get("event") == LOST else 1
        found += [event] * max(0, min(lost if isinstance(lost, int) else 1, MOST_EVENTS - len(found)))
    return found


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {"event": LOST}
    return event if isinstance(event, dict) else {"event": LOST}


def in_one_line(error: FtcliError) -> str:
    """Returns the first problems of an error."""
    return "; ".join(f"{one.key} {one.message}" for one in error.problems[:3])
