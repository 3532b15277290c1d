"""The logger role's object, whose failure ends no run: a full disk is said once, and the training goes on."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftcli.errors import FtcliError
from ftcli.storage.plain_file import open_plain


class EventsSeal:
    """The hash of metrics.jsonl as it is when a checkpoint is saved; a later call reads what was added since.

    Args:
        path: metrics.jsonl.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._read, self._digest = path, 0, hashlib.sha256()

    def __call__(self) -> dict[str, Any]:
        """Returns `metrics`: the number of bytes so far and their sha256; nothing where they cannot be read."""
        try:
            with os.fdopen(open_plain(self.path), "rb") as file:
                file.seek(self._read)
                while block := file.read(2**20):
                    self._digest.update(block)
                    self._read += len(block)
        except OSError:
            return {}
        return {"metrics": {"bytes": self._read, "sha256": self._digest.hexdigest()}}


class Unfailing:
    """Passes events on until the first that fails; what a later resume counts is written again by it.

    Args:
        make: opens the log.
        note: takes the line that says what failed.
    """

    def __init__(self, make: Callable[[], Any], note: Callable[[str], None]) -> None:
        self._note, self._log, self._said = note, None, 0
        self._log = self._try(make)

    def log(self, event: dict[str, Any]) -> None:
        """Writes one event."""
        self._try(lambda: self._log.log(event) if self._log is not None else None)

    def flush(self) -> None:
        """Makes the events so far durable."""
        self._try(lambda: self._log.flush() if self._log is not None else None)

    def close(self) -> None:
        """Closes the log."""
        self._try(lambda: self._log.close() if self._log is not None else None)

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (FtcliError, OSError) as error:
            what = (
                "; ".join(f"{p.key} {p.message}" for p in error.problems)
                if isinstance(error, FtcliError)
                else str(error)
            )
            broken, self._log = self._log, None
            if broken is not None:
                with contextlib.suppress(FtcliError, OSError):
                    broken.close()
            self._note(f"{what}: no more events are logged in this session; the training goes on")
            return None
        finally:
            said = getattr(self._log, "messages", [])
            for line in said[self._said :]:
                self._note(line)
            self._said = len(said)
