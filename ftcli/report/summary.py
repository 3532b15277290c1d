"""What a run directory says about its run. Only files are read: no configuration is composed, no model loaded."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftcli.config.dotted import leaves
from ftcli.config.saved import read_values
from ftcli.errors import RunDirError
from ftcli.run.run_dir import RunDir
from ftcli.storage.event_lines import bounded_lines
from ftcli.storage.run_files import read_record, unreadable

FINISHED, STOPPED, RUNNING, BROKEN = "finished", "stopped", "running", "broken"


@dataclass(slots=True)
class Summary:
    """A run as its files describe it; what no file says is None or empty."""

    run: RunDir
    state: str
    settings: dict[str, Any]
    """Dotted key -> value, with the choice of a role under the role's name, as overrides are typed."""
    result: dict[str, Any]
    """result.json; empty until the run is finished."""
    plan: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return json_safe(self.run.path.name)

    def steps(self) -> int | None:
        """Returns the optimizer steps taken; of an unfinished run those up to the last line of metrics.jsonl."""
        if self.result:
            return as_number(self.result.get("steps"))
        return max((step for event in events(self.run) if (step := as_number(event.get("step")))), default=0)

    def best(self) -> tuple[str, Any]:
        """Returns the name of the monitored metric and its best value so far, None without an evaluation."""
        if self.result:
            monitor = str(self.result.get("monitor"))
            return monitor, as_mapping(self.result.get("metrics")).get(monitor)
        named, metrics = self.settings.get("trainer.monitor"), self.settings.get("task.metrics")
        monitor = str(named or (metrics[0] if isinstance(metrics, list) and metrics else "loss"))
        best = [e for e in events(self.run) if e.get("event") == "eval" and e.get("best") is True]
        return monitor, best[-1].get(monitor) if best else None

    def collapsed(self) -> str | None:
        """Returns what the best checkpoint predicts for every validation row; None where predictions differ, or nothing says it."""
        if self.result:
            said = self.result.get("collapsed")
        else:
            best = [e for e in events(self.run) if e.get("event") == "eval" and e.get("best") is True]
            said = best[-1].get("collapsed") if best else None
        return said if isinstance(said, str) else None

    def wall_seconds(self) -> float | None:
        """Returns the seconds of the run; of an unfinished run those up to its last checkpoint."""
        if self.result:
            return as_number(self.result.get("wall_seconds"))
        try:
            state = read_object(self.run.checkpoints / "last" / "state.json")
        except RunDirError:
            return None
        return as_number(as_mapping(state.get("train")).get("wall_seconds"))

    def recorded(self) -> dict[str, Any]:
        """Returns facts that no setting states: what was decided, the hardware, digests of what was read."""
        decided = as_mapping(self.environment.get("decisions"))
        facts = {f"recorded.{key}": value for key, value in decided.items()}
        facts |= {f"recorded.{key}": self.environment.get(key) for key in ("cpu", "gpu")}
        train = as_mapping(as_mapping(self.data.get("parts")).get("train"))
        facts["recorded.train_rows"] = _digest(train.get("sha256"))
        for role in ("tokenizer", "model"):
            facts[f"recorded.{role}"] = _digest(as_mapping(self.data.get(role)).get("fingerprint"))
        return facts


def read_summary(run: RunDir, *, whole: bool = True) -> Summary:
    """Returns what a run directory says.

    Args:
        run: the run.
        whole: False leaves plan.json, data.json and environment.json unread.

    Raises:
        RunDirError: a file of it cannot be read.
    """
    settings, result = read_settings(run.config_yaml), read_object(run.result_json)
    state = FINISHED if result else RUNNING if run.is_locked() else STOPPED
    summary = Summary(run, state, settings, result)
    if whole:
        summary.plan, summary.data = read_object(run.plan_json), read_object(run.data_json)
        summary.environment = read_object(run.environment_json)
    return summary


def read_settings(path: Path) -> dict[str, Any]:
    """Returns config.yaml as dotted key -> value.

    Raises:
        RunDirError: it cannot be read, or is not the configuration of a run.
    """
    flat = {key: json_safe(value) for key, value in leaves(read_values(path))}
    return {
        json_safe(key.removeprefix("choices.")): value
        for key, value in flat.items()
        if not key.startswith("uses.")
    }


def read_object(path: Path) -> dict[str, Any]:
    """Returns the object of a JSON file; an empty one where there is no file.

    Raises:
        RunDirError: the file cannot be read or is not an object.
    """
    if not os.path.lexists(path):
        return {}
    try:
        return as_mapping(json_safe(read_record(path, any_keys=True)))
    except RecursionError as error:
        raise unreadable(path, "it is nested too deep") from error


def events(run: RunDir) -> Iterator[dict[str, Any]]:
    """Yields the events of metrics.jsonl; a line that a kill left incomplete is skipped."""
    for line in bounded_lines(run.metrics_jsonl):
        try:
            event = json_safe(json.loads(line))
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def peak_memory(run: RunDir) -> int | None:
    """Returns the largest `memory_bytes` that was logged."""
    seen = (as_number(event.get("memory_bytes")) for event in events(run))
    return max((value for value in seen if value is not None), default=None)


def bytes_on_disk(folder: Path) -> int:
    """Returns the bytes of all files in a folder. Hard links to one file count once; symbolic links are not followed."""
    sizes: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                stat = Path(place, name).lstat()
            except OSError:  # a run in progress deletes old checkpoints
                continue
            sizes[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(sizes.values())


def best_checkpoint_bytes(run: RunDir) -> int | None:
    """Returns the bytes of the checkpoint that the link `best` points to; None where it is not one of the run."""
    target = (run.checkpoints / "best").resolve()
    inside = target.parent == run.checkpoints.resolve() and target.is_dir()
    return bytes_on_disk(target) if inside else None


def json_safe(value: Any) -> Any:
    """Returns a value that strict JSON and every terminal can take: NaN, infinities and undecodable bytes become text."""
    if isinstance(value, dict):
        return {json_safe(str(key)): json_safe(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [json_safe(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).encode("utf-8", errors="backslashreplace").decode("utf-8")


def as_number(value: Any) -> Any:
    """Returns the value if it is a number (not a bool, and not beyond what a float can be), else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= sys.float_info.max else None


def as_mapping(value: Any) -> dict[str, Any]:
    """Returns the value if it is a dictionary, else an empty one."""
    return value if isinstance(value, dict) else {}


def _digest(value: Any) -> str | None:
    return value[:12] if isinstance(value, str) else None
