"""The files of a run directory and the one reader of them: each has a name, a purpose, a shape and a remedy.

Whatever is wrong with a file (missing, cut, empty, not UTF-8, of another shape, deep, huge, a link, a folder, a FIFO) ends
in one `RunDirError` that names the file, says what it holds and what to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftcli.errors import Problem, RunDirError, typed_words
from ftcli.storage.plain_file import read_plain_text
from ftcli.storage.shapes import NATURAL, Given, Maybe, misfit

MIB = 2**20
AGAIN = "copy it back from where the run was made, or train again with the words in {folder}/command.txt"
REWRITTEN = "it is written again by: rm {path} && ftcli resume {folder}"
COUNT, TEXT, SECTION = NATURAL, str, {str: None}
THREADS = range(1, 4097)


@dataclass(frozen=True, slots=True)
class RunFile:
    """What is known of one file of a run directory."""

    holds: str
    """Continues `it should hold `."""
    remedy: str
    """The hint, with {path} and {folder} as they are typed in a shell."""
    shape: Any = None
    """See `storage.shapes`; None: text."""
    max_bytes: int = 64 * MIB


_PHASE = {
    "trainable": [TEXT], "optimizer": TEXT, "optimizer_values": SECTION, "scheduler": TEXT, "scheduler_values": SECTION,
    "monitor": Maybe(TEXT), "mode": Maybe(TEXT), "transition": SECTION, "groups": [{"name": TEXT}], "trigger": SECTION,
}  # fmt: skip
_COUNTERS = (
    "phase", "phase_step", "phase_start", "step", "events", "epoch", "batch", "rows_seen", "tokens_seen", "evaluated_step",
    "bad_evaluations", "skipped_steps", "skipped_in_row", "curve_steps",
)  # fmt: skip
_WINDOW: dict[str, Any] = {name: Given(COUNT) for name in ("steps", "targets", "rows", "tokens")}
_WINDOW |= {"correct": Given(Maybe(COUNT)), "loss_sum": Given(float), "seconds": Given(float)}
_TRAIN: dict[str, Any] = {name: Given(COUNT) for name in _COUNTERS}
_TRAIN |= {name: Given(float) for name in ("phase_seconds", "train_seconds", "wall_seconds")}
_TRAIN |= {name: Given({str: float}) for name in ("last_eval", "best_eval")}
_TRAIN |= {
    "phases": Given([SECTION]), "phase_scores": Given([float]), "phase_ended": Given(TEXT), "curve": Given(SECTION), "window": Given(_WINDOW),
    "best_step": Given(Maybe(COUNT)), "best_score": Given(Maybe(float)), "best_from_prefix": Given(bool),
}  # fmt: skip
_STATE = {
    "train": Given(_TRAIN), "best_step": Given(Maybe(COUNT)), "scaler": Given(SECTION), "optimizer": Given(TEXT),
}  # fmt: skip
FILES: dict[str, RunFile] = {
    "config.yaml": RunFile(
        "the run's configuration", AGAIN, {"recipe": TEXT, "seed": int, "choices": {str: TEXT}, "uses": {str: TEXT}}, MIB
    ),
    "plan.json": RunFile("the plan of what trains in each phase", AGAIN, {"phases": [_PHASE]}),
    "data.json": RunFile(
        "hashes of the rows, the tokenizer and the model, and the label names", AGAIN,
        {"labels": [TEXT], "task": Given({str: float}), "parts": {str: {"origin": TEXT, "sha256": TEXT, "rows": COUNT}},
         "tokenizer": {"fingerprint": TEXT}, "model": {"origin": TEXT, "fingerprint": TEXT}},
    ),
    "environment.json": RunFile(
        "precision, attention and threads that were decided, and versions", AGAIN,
        {"decisions": {"attention": ("eager", "sdpa"), "precision": ("fp32", "bf16", "fp16"), "threads": THREADS}, "packages": Given(SECTION)}, MIB,
    ),
    "result.json": RunFile("the figures of the finished run", REWRITTEN, {"metrics": {str: float}}),
    "pieces.json": RunFile(
        "into how many micro-batches the batches were split", AGAIN,
        {"splits": [{"step": COUNT, "parts": COUNT, "why": TEXT}]},
    ),
    "hashes.json": RunFile("hashes of the run's other files", AGAIN, {str: [TEXT]}, MIB),
    "state.json": RunFile("the counters of a checkpoint", "type --checkpoint with the name of another one", _STATE),
    "command.txt": RunFile("the command that made the run", AGAIN, max_bytes=MIB),
    "schedule.yaml": RunFile("the schedule of phases that the run trains by", AGAIN, max_bytes=MIB),
}  # fmt: skip


def read_record(path: Path, *, any_keys: bool = False) -> dict[str, Any]:
    """Returns the object in one of the JSON files of FILES, of the shape that its readers rely on.

    Args:
        path: the file; its name says what it must hold.
        any_keys: an object is enough, for a reader that takes what it finds.

    Raises:
        RunDirError: it is missing, damaged or no such file.
    """
    return read_shaped(path, json.loads, any_keys=any_keys)


def read_shaped(path: Path, parse: Callable[[str], Any], *, any_keys: bool = False) -> dict[str, Any]:
    """Returns what a file of FILES holds.

    Args:
        path: the file; its name says what it must hold.
        parse: text -> values; its errors are ValueErrors, or the RecursionError of nesting without end.
        any_keys: an object is enough.

    Raises:
        RunDirError: it is missing, damaged or no such file.
    """
    text = read_text(path)
    try:
        values: dict[str, Any] = parse(text)
    except RecursionError as error:
        raise unreadable(path, "it is nested too deep") from error
    except ValueError as error:
        raise unreadable(path, _reason(text, error)) from error
    wrong = misfit(values, SECTION if any_keys else FILES[path.name].shape)
    if wrong is None and not values:
        wrong = "it is an empty object"
    if wrong is not None:
        raise unreadable(path, wrong)
    return values


def read_text(path: Path) -> str:
    """Returns the text of a file of FILES.

    Raises:
        RunDirError: it is missing, cannot be read, or is no plain file of UTF-8 text of a size that such a file has.
    """
    try:
        return read_plain_text(path, FILES[path.name].max_bytes)
    except FileNotFoundError as error:
        raise unreadable(path, "it is missing") from error
    except UnicodeDecodeError as error:
        raise unreadable(path, f"byte {error.start:,} is not UTF-8") from error
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def unreadable(path: Path, what: str) -> RunDirError:
    """Returns the error of a file of FILES: its path, what is wrong, what it holds, and what to do.

    Args:
        path: the file.
        what: what is wrong, such as `it is missing`.
    """
    known = FILES[path.name]
    words = {"path": typed_words(path), "folder": typed_words(path.parent)}
    return RunDirError(
        Problem(
            str(path), f"cannot be read: {what}; it should hold {known.holds}", known.remedy.format(**words)
        )
    )


def _reason(text: str, error: ValueError) -> str:
    if not text.strip():
        return "it is empty"
    if not text.strip("\0"):
        return "it is all zero bytes"
    return "it is damaged or cut off: " + re.sub(r"\s+", " ", str(error))[:200]
