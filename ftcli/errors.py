"""The errors a user can cause. Each says what came, what was expected and what to do next.

Anything that is not an `FtcliError` is our bug and shows a traceback in the log.
"""

from __future__ import annotations

import difflib
import errno
import shlex
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, as it is shown in the panel.

    `key` is the dotted key as the user typed it (or a path), `message` says what came and what was
    expected, `hint` is the next step.
    """

    key: str
    message: str
    hint: str = ""


class FtcliError(ValueError):
    """Base of every error that ends in one panel; `exit_code` is the process's."""

    exit_code = 2
    title = "cannot run"

    def __init__(self, *problems: Problem | str, hint: str = "") -> None:
        self.problems = [p if isinstance(p, Problem) else Problem("", p, hint) for p in problems]
        super().__init__("; ".join(f"{p.key}: {p.message}" if p.key else p.message for p in self.problems))


class ConfigError(FtcliError):
    """A word, a recipe or a combination of settings that cannot be run."""

    title = "configuration"


class SourceError(FtcliError):
    """A model, tokenizer or data source that cannot be found or must not be loaded."""

    title = "source"


class OutOfReachError(SourceError):
    """A name of the hub, or a package, whose files are not on this machine."""


class DataError(FtcliError):
    """Rows, columns or labels that cannot be trained on."""

    title = "data"


class ContractError(DataError):
    """Rows that the data contract says no to: `check-data` and the beginning of a run end alike."""

    exit_code = 3


class PlanError(FtcliError):
    """Patterns without a hit, or a plan in which nothing trains."""

    title = "plan"


class RunDirError(FtcliError):
    """A run directory that cannot be written, found or continued."""

    title = "run directory"


DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FAILS = (errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)
"""Read-only, failing, gone, and too many open files: whatever was typed would fail."""

OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""A file or folder that is not ours to use, or a path that leads to none."""


class DiskError(RunDirError):
    """A disk that is full, read-only or failing: the machine's fault, not that of what was typed."""

    exit_code = 1


class CheckpointError(FtcliError):
    """A checkpoint that is damaged, incomplete or of another run."""

    title = "checkpoint"


class ExportError(FtcliError):
    """An exported folder that, reloaded by plain libraries, does not answer as the run does."""

    exit_code = 3
    title = "export"


class NonFiniteError(FtcliError):
    """A loss or gradient that is NaN or infinite; raised before it is applied."""

    exit_code = 1
    title = "training stopped"


class NoRoomError(FtcliError):
    """Memory that is not enough, however finely a batch is split."""

    exit_code = 1
    title = "out of memory"


class MachineError(FtcliError):
    """A disk that is full or fails, or descriptors that ran out, where no message of its own was foreseen."""

    exit_code = 1
    title = "failed"


NO_MEMORY_SIGNS = (
    "DefaultCPUAllocator: can't allocate memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "bad_alloc",
    "can't start new thread",
    "could not create a memory object",
)
"""What a plain RuntimeError says where an allocation failed, that of a thread's stack included."""
NO_MEMORY_KINDS = (RuntimeError, MemoryError, OSError)
"""Classes of errors that a lack of memory may come as."""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an allocation failed: on the device, or of torch, Python or the system on the CPU."""
    # By its name: torch need not be imported here for its error to be known.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in NO_MEMORY_SIGNS)


MAX_COMPARED = 200
"""Characters of a word that are compared with known ones."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Returns up to `count` known names that look like `name`, best first."""
    return difflib.get_close_matches(name[:MAX_COMPARED], list(known), n=count, cutoff=0.5)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `did you mean X?`, or the list of what exists when nothing is near."""
    known = sorted(known)
    near = nearest(name, known)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "there is " + ", ".join(known[:40]) if known else "there is none"


def typed_words(*words: object) -> str:
    """Returns words as they are typed in a shell, quoted where a space or another special character needs it.

    Every command and every `key=value` that is printed for the user to type goes through here.
    """
    return shlex.join(str(word) for word in words)
