"""A process watched by an audit hook: what it starts, connects to and writes outside its folder is recorded as it happens."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

STARTS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "subprocess.Popen",
    "pty.spawn",
    "os.fork",
    "os.forkpty",
)
CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request", "http.client.connect",
            "ftplib.connect", "smtplib.connect", "webbrowser.open")  # fmt: skip
CODE = ("pickle.find_class", "code.__new__", "ctypes.dlopen")
PATHS = {"os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.link": 2, "os.symlink": 2, "os.truncate": 1, "os.chmod": 1,
         "shutil.rmtree": 1, "shutil.move": 2}  # fmt: skip
"""Event -> how many of its first arguments are paths that change."""
HONEST = (["git", "rev-parse", "HEAD"], ["uname", "-p"])
"""Programs that ftcli itself starts, for environment.json; their words are fixed. The trial of a tokenizer is one more: `_trial`."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CANARY = "FTCLI_CANARY"
SECRETS = (CANARY, "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")
"""Variables that hold a secret which must be in no byte written."""
MOST_BYTES = 8 << 30
"""Address space of a case: a size from a file must be refused, not tried on the machine."""


def watch(allowed: list[Path], violations: Path) -> None:
    """Watches this process from here on.

    Args:
        allowed: folders it may write to.
        violations: gets a line for each event that is not allowed.
    """
    descriptor = os.open(violations, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    inside = [os.path.realpath(folder) for folder in allowed] + ["/dev/null", "/dev/tty", "/dev/fd", "/proc/self"]
    inside.append(os.path.realpath(tempfile.gettempdir()) + os.sep + "ftcli")
    busy = False

    def note(text: str) -> None:
        os.write(descriptor, (text[:300].replace("\n", " ") + "\n").encode(errors="replace"))

    def outside(path: Any) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        whole = os.path.abspath(os.fsdecode(path))
        # The parent is followed and the last part not: a link itself is removed and renamed.
        place = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
        return not any(place == folder or place.startswith(folder + os.sep) for folder in inside)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        try:
            if event == "subprocess.Popen" and (list(args[1]) in HONEST or _trial(list(args[1]))):
                pass
            elif event in STARTS:
                note(f"started: {event} {args!r}")
            elif event in CONNECTS and not _local(args):
                note(f"network: {event} {args!r}")
            elif event == "pickle.find_class":
                note(f"unpickled: {args!r}")
            elif event == "open" and isinstance(args[2], int) and args[2] & WRITES and outside(args[0]):
                note(f"written outside: {args[0]!r}")
            elif event in PATHS and any(
                outside(path)
                for path in args[: PATHS[event]]
                if event not in ("os.symlink", "os.link") or path is args[1]
            ):
                note(f"changed outside: {event} {args!r}")
        finally:
            busy = False

    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(hook)


def _trial(words: list[Any]) -> bool:
    """Whether a command is the isolated Python that reads texts with a tokenizer's file before ftcli does, and nothing else."""
    from ftcli.tokenizer.file_check import TRIAL

    return len(words) == 5 and words[:4] == [sys.executable, "-I", "-c", TRIAL]


def _local(args: tuple[Any, ...]) -> bool:
    """Whether a socket is one of this machine's file system."""
    return any(isinstance(value, (str, bytes)) and os.fsdecode(value).startswith("/") for value in args)
