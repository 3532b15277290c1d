"""The runs in a folder, newest first, including those that are broken or incomplete."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from ftcli.config.regular_file import is_file, is_folder
from ftcli.errors import Problem, RunDirError
from ftcli.report.summary import BROKEN, RUNNING, Summary, json_safe, read_summary
from ftcli.run.run_dir import LEFTOVERS, MARK, ROOT, STAMP, RunDir

MARKS = LEFTOVERS | {MARK, "result.json", "checkpoints", "metrics.jsonl"}
"""A folder with one of these is a run, or the start of one."""


def list_runs(root: Path | None) -> list[dict[str, Any]]:
    """Returns a record for each run, newest first.

    Args:
        root: folder to search; None: `./runs`, which need not exist.

    Raises:
        RunDirError: a root that was named is not a folder, or cannot be read.
    """
    if root is not None and not is_folder(root):
        raise RunDirError(Problem(f"--runs-dir {root}", "is not a folder", "name the folder with the runs"))
    folder = ROOT if root is None else root
    try:
        found = _candidates(folder) if is_folder(folder) else []
    except OSError as error:
        raise RunDirError(Problem(str(folder), f"cannot be read: {error.strerror}")) from error
    dated = [(_began(run), str(run.path), run) for run in found]
    records = [_record(run, began) for (began, _), _, run in sorted(dated, key=lambda d: d[:2], reverse=True)]
    return _with_names(records, typed_by_id=root is None)


def _candidates(root: Path) -> list[RunDir]:
    """Returns the root if it is a run; else the runs in it and, one level down, in its folders."""
    if is_file(root / MARK):
        return [RunDir(root)]
    found = []
    for folder in _folders(root):
        inner = [folder] if _is_run_like(folder) else [f for f in _folders(folder) if _is_run_like(f)]
        found += [RunDir(path) for path in inner]
    return found


def _folders(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if not entry.name.startswith(".") and is_folder(entry)]
    except PermissionError:
        return []


def _is_run_like(path: Path) -> bool:
    """Returns whether a folder has the name of a run, or contains files that a run writes."""
    try:
        return bool(STAMP.match(path.name)) or any(entry.name in MARKS for entry in path.iterdir())
    except OSError:
        return False


def _began(run: RunDir) -> tuple[str, int]:
    try:
        return run.began()
    except OSError:  # deleted in the meantime
        return "", 0


def _why_unreadable(folder: Path) -> str:
    """Returns why the files in a folder cannot be looked at, or ''."""
    try:
        for entry in folder.iterdir():
            entry.lstat()
    except FileNotFoundError:  # deleted in the meantime
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _record(run: RunDir, began: str) -> dict[str, Any]:
    """Returns what the listing shows of a run; a run that cannot be read has the reason as `problem`."""
    record = {"path": json_safe(str(run.path)), "recipe": json_safe(run.path.parent.name), "when": _when(began), "problem": None,
              "monitor": None, "best": None, "collapsed": None, "steps": None, "wall_seconds": None, "model": None, "data": None}  # fmt: skip
    if reason := _why_unreadable(run.path):
        return {**record, "state": BROKEN, "problem": reason}
    if not run.config_yaml.is_file():
        half = "has no config.yaml: its start did not get that far"
        return (
            {**record, "state": RUNNING} if run.is_locked() else {**record, "state": BROKEN, "problem": half}
        )
    try:
        summary = read_summary(run, whole=False)
    except RunDirError as error:
        problem = error.problems[0]
        return {**record, "state": BROKEN, "problem": f"{Path(problem.key).name} {problem.message}"}
    monitor, best = summary.best()
    return record | {
        "state": summary.state,
        "recipe": summary.settings.get("recipe"),
        "monitor": monitor,
        "best": best,
        "collapsed": summary.collapsed(),
        "steps": summary.steps(),
        "wall_seconds": summary.wall_seconds(),
        "model": _source(summary, "model"),
        "data": _source(summary, "data"),
    }


def _source(summary: Summary, role: str) -> str:
    """Returns the choice of a role, with the file, folder or id that was given to it."""
    choice = str(summary.settings.get(role))
    path = summary.settings.get(f"{role}.path") or summary.settings.get(f"{role}.files.train")
    if path:
        return f"{choice}: {Path(str(path)).name}"
    source = summary.settings.get(f"{role}.id")
    return f"{choice}: {source}" if source and choice in ("local", "text") else choice


def _when(stamp: str) -> str | None:
    """Returns the time in a run's name, `20260131-235959` in UTC, as `2026-01-31 23:59:59`."""
    try:
        return datetime.strptime(stamp, "%Y%m%d-%H%M%S").isoformat(sep=" ")
    except ValueError:
        return None


def _with_names(records: list[dict[str, Any]], *, typed_by_id: bool) -> list[dict[str, Any]]:
    """Adds as `run` the shortest text that names a run on the command line: its id, or its path.

    Args:
        records: of all runs found; an id must match one of them only.
        typed_by_id: whether the command line looks for ids in this folder, which is `./runs`.
    """
    names = [Path(record["path"]).name for record in records]
    ends = [name.rpartition("-")[2] for name in names]
    named = []
    for record, name, end in zip(records, names, ends, strict=True):
        path, own = Path(record["path"]), end if STAMP.match(name) else name
        fitting = sum(n.startswith(own) or e.startswith(own) for n, e in zip(names, ends, strict=True))
        findable = typed_by_id and len(path.parts) == 3 and is_file(path / MARK)
        named.append({"run": own if findable and fitting == 1 else str(path), **record})
    return named
