"""Steps of a run taken again, away from its directory, and compared with what it recorded: checkpoints and events."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.storage.event_lines import LOST, strict
from ftcli.storage.manifest import MANIFEST
from ftcli.storage.run_files import read_record
from ftcli.trainer.signals import Interrupted, StopFlag

if TYPE_CHECKING:
    from ftcli.checkpoint.checkpoint import Checkpoint
    from ftcli.trainer.state import TrainState
    from ftcli.trainer.trainer import Trainer

CLOCKS = frozenset({"rows_per_s", "tokens_per_s", "seconds_per_step", "memory_bytes", "seconds", "train_seconds", "wall_seconds",
                    "phase_seconds"})  # fmt: skip
"""Figures of events and of a state that depend on the time of day, not on the training."""
FIGURES = ("train", "eval")
"""Events that hold figures of steps."""


@dataclass(frozen=True, slots=True)
class ReplaySpan:
    """Steps to take again: from a checkpoint, or from the beginning, to a step."""

    begin: Checkpoint | None
    end: int
    """Optimizer steps of the run at which to stop."""
    target: Checkpoint | None
    """Of the step `end`, where there is one."""

    @property
    def step(self) -> int:
        """Where it begins."""
        return self.begin.step if self.begin else 0


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    compared: list[str]
    """What was the same."""
    different: list[str]
    """What was not, each with both values."""
    impossible: str = ""
    """Why the steps could not be compared."""


def choose_span(checkpoints: list[Checkpoint], events: list[dict[str, Any]], steps: int) -> ReplaySpan | None:
    """Returns the latest span of at most so many steps with something recorded in it; a checkpoint at its end is best.

    Args:
        checkpoints: that are intact, oldest first.
        events: of metrics.jsonl.
        steps: the most to take.
    """
    begins: list[Checkpoint | None] = [None, *checkpoints]
    for begin, target in reversed(list(zip(begins, checkpoints, strict=False))):
        if 0 < target.step - (begin.step if begin else 0) <= steps:
            return ReplaySpan(begin, target.step, target)
    for begin in reversed(begins):
        start = begin.step if begin else 0
        found = [e["step"] for e in events if e.get("event") in FIGURES and start < _step(e) <= start + steps]
        if found:
            return ReplaySpan(begin, max(found), None)
    return None


def replay(run: RunDir, session: RunSession, span: ReplaySpan, events: list[dict[str, Any]]) -> Replayed:
    """Takes the steps again in a temporary folder and compares checkpoint and events bit for bit.

    Args:
        run: only read.
        session: built as a resume builds it.
        span: the steps.
        events: of metrics.jsonl.
    """
    with tempfile.TemporaryDirectory(prefix="ftcli-verify-") as name:
        folder = Path(name)
        log = _Collected()
        trainer = _trainer(run, session, span, folder, log)
        if span.begin is not None:
            trainer.restore(span.begin)
            before, now = span.begin.counter("curve_steps"), trainer.position.curve_steps
            if before != now:
                reason = f"the run was lengthened: the lr curve was {before} steps long then and is {now} now"
                return Replayed([], [], reason)
            log.events.clear()
        trainer.stop = _StopAt(span.end, trainer.state)
        try:
            trainer.fit()
        except Interrupted as stopped:
            if trainer.state.step < span.end:
                raise
            assert stopped.signum == signal.SIGTERM
        begun = span.begin.counter("events") if span.begin else 0
        result = _compare_events(events[begun:], log.events, span.end)
        if span.target is not None:
            _compare_checkpoints(span.target, folder / "checkpoints", result)
        return result


class _StopAt(StopFlag):
    """Ends the loop at a step, as a signal would."""

    def __init__(self, step: int, state: TrainState) -> None:
        super().__init__()
        self.step, self.state = step, state

    def check(self) -> None:
        """Raises Interrupted at the step."""
        if self.state.step >= self.step:
            raise Interrupted(signal.SIGTERM)


class _Collected:
    """Keeps events, and prints nothing."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def log(self, event: dict[str, Any]) -> None:
        self.events.append(json.loads(json.dumps(strict(event))))

    def flush(self) -> None:
        """Nothing is buffered."""

    def note(self, line: str) -> None:
        """Prints nothing."""

    def train(self, event: dict[str, Any], total_steps: int) -> None:
        """Prints nothing."""

    def advance(self, step: int, total_steps: int) -> None:
        """Prints nothing."""

    def evaluation(self, event: dict[str, Any], best: bool) -> None:
        """Prints nothing."""


def _trainer(run: RunDir, session: RunSession, span: ReplaySpan, folder: Path, log: _Collected) -> Trainer:
    """Returns a trainer at step 0 that writes into a temporary folder, which has the checkpoints that the steps need."""
    from ftcli.checkpoint.store import CheckpointStore
    from ftcli.trainer.micro_batch_search import find_micro_batch_size
    from ftcli.trainer.micro_batching import recorded_micro_batching

    if os.path.lexists(run.pieces_json):
        read_record(run.pieces_json)
        shutil.copyfile(run.pieces_json, folder / "pieces.json")
    store = CheckpointStore(folder / "checkpoints", keep=2**31)
    for checkpoint in _needed(run, span.begin):
        copied = store.folder / checkpoint.name
        copied.mkdir()
        for name in (MANIFEST, *checkpoint.files):  # whatever else lies in the folder may be anything
            shutil.copyfile(checkpoint.path / name, copied / name)
    splits = recorded_micro_batching(session.config.trainer, folder / "pieces.json")
    trainer = session.trainer(store=store, events=log, reporter=log, stop=StopFlag(), micro_batching=splits)
    find_micro_batch_size(trainer)
    return trainer


def _needed(run: RunDir, begin: Checkpoint | None) -> list[Checkpoint]:
    """Returns the checkpoint that the steps begin with, and the best one of that time: a phase may begin from it."""
    from ftcli.checkpoint.checkpoint import NAME, open_checkpoint

    if begin is None:
        return []
    best = begin.state.get("best_step")
    others = run.checkpoints.glob(f"step-{best:06d}*") if best is not None else ()
    found = [path for path in others if path != begin.path and NAME.fullmatch(path.name)]
    return [begin, *(open_checkpoint(path) for path in found)]


def _compare_events(recorded: list[dict[str, Any]], again: list[dict[str, Any]], end: int) -> Replayed:
    result, count = Replayed([], []), 0
    for then, now in zip(recorded, again, strict=False):
        if _step(now) > end:
            break
        if then.get("event") == LOST:
            result.impossible = "events of these steps are lost"
            break
        wrong = _first_difference(_without_clocks(then), _without_clocks(now), "")
        if wrong:
            result.different.append(f"metrics.jsonl, {now['event']} event of step {now['step']}: {wrong}")
        count += now["event"] in FIGURES
    if count and not result.different:
        result.compared.append(f"{count} train and eval events")
    return result


def _compare_checkpoints(target: Checkpoint, folder: Path, result: Replayed) -> None:
    from ftcli.checkpoint.checkpoint import open_checkpoint

    made = sorted(folder.glob(f"step-{target.step:06d}*"))
    if not made:
        result.different.append(f"{target.name}: the steps taken again end without a checkpoint there")
        return
    again, before = open_checkpoint(made[-1]), len(result.different)
    for name in ("model", "optimizer"):
        file = f"{name}.safetensors"
        if target.files[file]["sha256"] != again.files[file]["sha256"]:
            result.different.append(f"{target.path / file}: {_tensor_difference(target, again, name)}")
    wrong = _first_difference(_without_clocks(target.state), _without_clocks(again.state), "")
    if wrong:
        result.different.append(f"{target.path / 'state.json'}: {wrong}")
    if len(result.different) == before:
        result.compared.append(f"weights, optimizer state and counters of {target.name}")


def _tensor_difference(target: Checkpoint, again: Checkpoint, name: str) -> str:
    """Returns how many tensors differ, and the first of them."""
    stored, made = target.load(name), again.load(name)
    odd = [key for key in sorted(stored.keys() | made.keys())
           if key not in stored or key not in made or stored[key].shape != made[key].shape or not stored[key].equal(made[key])]  # fmt: skip
    return f"{len(odd)} of {len(stored)} tensors differ from the steps taken again, such as {odd[0] if odd else 'none by value'}"


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_clocks(inner) for key, inner in value.items() if key not in CLOCKS}
    return [_without_clocks(one) for one in value] if isinstance(value, list) else value


def _first_difference(then: Any, now: Any, place: str) -> str:
    """Returns the first place where two plain values differ, with both; empty where they are the same."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            if wrong := _first_difference(then.get(key), now.get(key), f"{place}.{key}" if place else key):
                return wrong
        return ""
    return "" if json.dumps(then) == json.dumps(now) else f"{place} is {then!r}, and {now!r} when taken again"


def _step(event: dict[str, Any]) -> int:
    step = event.get("step")
    return step if isinstance(step, int) else 0
