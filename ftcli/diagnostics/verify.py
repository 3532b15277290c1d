"""`ftcli verify`: what a run directory holds is what the run wrote, and its steps give the same again."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.config.check import check
from ftcli.config.saved import restored
from ftcli.diagnostics.replay import choose_stretch, replay
from ftcli.errors import FtcliError
from ftcli.plan.differences import plan_differences
from ftcli.run.encode import describe_data
from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.storage.atomic import file_sha256, verify
from ftcli.storage.event_lines import LOST
from ftcli.storage.plain_file import open_plain, refuse_special
from ftcli.storage.run_files import FILES, read_record, read_text

if TYPE_CHECKING:
    from ftcli.checkpoint.store import Checkpoint
    from ftcli.console.console import Screen

RECORDS = ("config.yaml", "plan.json", "data.json", "environment.json")


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


def verify_run(name: str, screen: Screen, *, steps: int | None) -> dict[str, Any]:
    """Checks a run, or each member of several seeds, and prints what was checked and what was not.

    Args:
        name: of the run.
        screen: where the table goes.
        steps: the most optimizer steps to take again; None: as many as lie between two log lines.

    Returns:
        `holds`, and the checks of each run.
    """
    run = RunDir.find(name)
    checks = {str(run.path): _checks(run, screen, steps)}
    seeds = _seeds(run)
    for seed in seeds:
        member = RunDir(run.path / f"seed-{seed}")
        checks[str(member.path)] = _checks(member, screen, steps)
    for path, found in checks.items():
        screen.table(
            f"verify {path}",
            ["what", "result", "found"],
            [(c.what, c.outcome.value, c.detail) for c in found],
        )
    wrong = [one for found in checks.values() for one in found if one.outcome is Outcome.differs]
    screen.note(
        f"{len(wrong)} differ: this is not what the run wrote"
        if wrong
        else "all that was checked is what the run wrote"
    )
    return {
        "holds": not wrong,
        "runs": {path: [asdict(one) for one in found] for path, found in checks.items()},
    }


def _seeds(run: RunDir) -> list[int]:
    try:
        return restored(run.config_yaml, []).config.seeds
    except FtcliError:  # said by the check of the file
        return []


def _checks(run: RunDir, screen: Screen, steps: int | None) -> list[Check]:
    """Returns the checks of one run, in the order in which they are made."""
    found = _files(run)
    if any(one.outcome is Outcome.differs for one in found) and not run.config_yaml.is_file():
        return found
    intact, said = _checkpoints(run)
    found += [*said, *_metrics(run)]
    if _seeds(run):
        return [*found, Check("steps taken again", Outcome.unchecked, "its members are: see below")]
    return [*found, *_again(run, intact, screen, steps)]


def _files(run: RunDir) -> list[Check]:
    """Compares each file with its hash in hashes.json; runs of versions without one are read for their shape only."""
    try:
        sealed = read_record(run.hashes_json) if os.path.lexists(run.hashes_json) else {}
    except FtcliError as error:
        return [Check("hashes.json", Outcome.differs, _line(error))]
    names = sorted({*sealed, *(name for name in FILES if os.path.lexists(run.path / name))} - {"hashes.json"})
    return [_file(run, name, sealed.get(name)) for name in names]


def _file(run: RunDir, name: str, hashes: list[str] | None) -> Check:
    path = run.path / name
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
        return Check(name, Outcome.differs, _line(error))
    except OSError as error:
        return Check(name, Outcome.differs, f"{path} cannot be read: {error.strerror or error}")
    if hashes is None:
        return Check(name, Outcome.unchecked, "readable; its hash was not recorded")
    return Check(name, Outcome.same, "sha256")


def _checkpoints(run: RunDir) -> tuple[list[Checkpoint], list[Check]]:
    """Returns the checkpoints that are intact, oldest first, and what was found of each."""
    from ftcli.checkpoint.store import NAME, open_checkpoint

    intact, checks = [], []
    for path in sorted(path for path in run.checkpoints.glob("step-*") if NAME.fullmatch(path.name)):
        try:
            intact.append(open_checkpoint(path))
            checks.append(
                Check(f"checkpoints/{path.name}", Outcome.same, f"sha256 of {len(intact[-1].files)} files")
            )
        except FtcliError as error:
            checks.append(Check(f"checkpoints/{path.name}", Outcome.differs, _line(error)))
    return intact, checks


def _metrics(run: RunDir) -> list[Check]:
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


def _again(run: RunDir, intact: list[Checkpoint], screen: Screen, steps: int | None) -> list[Check]:
    """Builds the run again, compares rows, tokenizer, model and plan, and takes steps again."""
    try:
        composed = restored(run.config_yaml, [])
        check(composed)
        recorded = {name: read_record(run.path / name) for name in RECORDS[1:]}
        session = RunSession(
            composed.config, notes=screen.notes, recorded=recorded["environment.json"]["decisions"]
        )
        checks = _sources(recorded["data.json"], describe_data(session.inputs, session.tables))
        lines = plan_differences(recorded["plan.json"], session.built.plan.to_json())
    except FtcliError as error:
        return [Check("rows, model and plan", Outcome.differs, _line(error))]
    checks.append(
        Check("plan", Outcome.differs, lines[0]) if lines else Check("plan", Outcome.same, "built again")
    )
    if any(one.outcome is Outcome.differs for one in checks):
        return [*checks, Check("steps taken again", Outcome.unchecked, "the run cannot be built as it was")]
    return [*checks, *_replayed(run, session, intact, recorded["environment.json"], steps)]


def _sources(then: dict[str, Any], now: dict[str, Any]) -> list[Check]:
    """Compares the rows, as they are read and as they are encoded, the tokenizer and the model with data.json."""
    checks = []
    for name, part in then["parts"].items():
        other = now["parts"].get(name, {})
        what = f"{name} rows"
        if other.get("sha256") != part["sha256"]:
            checks.append(
                Check(what, Outcome.differs, f"{part['origin']} holds other rows than the run was trained on")
            )
            continue
        odd = [key for key in part if key != "origin" and json.dumps(part[key]) != json.dumps(other.get(key))]
        if odd:
            checks.append(
                Check(
                    what,
                    Outcome.differs,
                    f"encoded again, {odd[0]} is {other.get(odd[0])}, it was {part[odd[0]]}",
                )
            )
        else:
            checks.append(
                Check(what, Outcome.same, f"sha256 of {part['rows']:,} rows; encoded again: as many tokens")
            )
    for name in ("tokenizer", "model"):
        same = then[name]["fingerprint"] == now[name]["fingerprint"]
        detail = (
            "hash of its files"
            if same
            else f"{now['model']['origin']}: its files changed since the run began"
        )
        checks.append(Check(name, Outcome.same if same else Outcome.differs, detail))
    if then["labels"] != now["labels"]:
        checks.append(
            Check(
                "labels", Outcome.differs, f"data.json has {then['labels'][:5]}, the rows {now['labels'][:5]}"
            )
        )
    return checks


def _replayed(
    run: RunDir, session: RunSession, intact: list[Checkpoint], environment: dict[str, Any], steps: int | None
) -> list[Check]:
    """Takes steps again and compares them, where this machine computes as the run's did."""
    what = "steps taken again"
    if reason := _other_machine(environment, session):
        return [Check(what, Outcome.unchecked, f"not comparable bit for bit: {reason}")]
    events = _events(run)
    most = steps if steps is not None else max(session.config.trainer.log_every_n_steps, 10)
    stretch = choose_stretch(intact, events, most)
    if stretch is None:
        return [
            Check(
                what,
                Outcome.unchecked,
                f"nothing is recorded within {most} steps of a checkpoint: type --steps N",
            )
        ]
    if stretch.begin is None and session.built.start_from is not None:
        return [Check(what, Outcome.unchecked, "the run began from another run's weights")]
    try:
        result = replay(run, session, stretch, events)
    except FtcliError as error:
        return [Check(what, Outcome.differs, _line(error))]
    taken = f"steps {stretch.step + 1} to {stretch.end}"
    if result.different:
        return [Check(what, Outcome.differs, f"{taken}: {one}") for one in result.different[:5]]
    if result.impossible or not result.compared:
        return [
            Check(what, Outcome.unchecked, f"{taken}: {result.impossible or 'nothing was recorded of them'}")
        ]
    return [Check(what, Outcome.same, f"{taken}: {' and '.join(result.compared)}, bit for bit")]


def _other_machine(environment: dict[str, Any], session: RunSession) -> str:
    """Returns why this machine need not compute the same bits as the run's; empty where it must."""
    from ftcli.runtime.environment import environment as describe

    runtime = session.runtime
    now = describe(runtime.record())
    device = environment["decisions"].get("device")
    if device != runtime.device:
        return f"the run was trained on {device}, this is {runtime.device}"
    if device != "cpu":
        return f"kernels on {device} add in no fixed order"
    then_packages, packages = environment.get("packages", {}), now["packages"]
    pairs = [("ftcli", environment.get("ftcli"), now["ftcli"]), ("cpu", environment.get("cpu"), now["cpu"]),
             *((name, then_packages.get(name), packages[name]) for name in ("torch", "transformers", "peft"))]  # fmt: skip
    return next((f"{name} was {then}, is {here}" for name, then, here in pairs if then != here), "")


def _events(run: RunDir) -> list[dict[str, Any]]:
    """Returns the events of metrics.jsonl; `lost` in the place of each that cannot be read or was lost."""
    found: list[dict[str, Any]] = []
    try:
        with os.fdopen(open_plain(run.metrics_jsonl), encoding="utf-8", errors="replace") as file:
            for line in file:
                event = _event(line)
                lost = event.get("events") if event.get("event") == LOST else 1
                found += [event] * min(lost if isinstance(lost, int) else 1, 10**6)
    except OSError:
        return found
    return found


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {"event": LOST}
    return event if isinstance(event, dict) else {"event": LOST}


def _line(error: FtcliError) -> str:
    return "; ".join(f"{one.key} {one.message}" for one in error.problems[:3])
