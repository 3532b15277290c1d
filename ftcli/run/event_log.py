"""The logger role's object, whose failure ends no run: a full disk is said once, and the training goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ftcli.errors import FtcliError


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
