"""Named points at which a test can kill the process, to prove that no moment is a bad one.

A save passes staged-file (once a file), before-manifest, after-manifest, before-rename, after-rename,
before-link, between-links, after-link, before-delete and in-delete, in this order. The trainer
passes `step` after each applied step, `evaluation` inside each evaluation, `transition` inside each change
of phase, `prefix` before each block of rows whose activations are kept and `evict` before each removal of
such activations.
"""

from __future__ import annotations

import os
import signal

_PASSED: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Kills this process with SIGKILL the n-th time it passes, when FTCLI_CRASH_AT=name:n is set."""
    wanted = os.environ.get("FTCLI_CRASH_AT")
    if wanted is None:
        return
    point, _, number = wanted.partition(":")
    if point == name:
        _PASSED[name] = _PASSED.get(name, 0) + 1
        if _PASSED[name] == int(number or 1):
            os.kill(os.getpid(), signal.SIGKILL)
