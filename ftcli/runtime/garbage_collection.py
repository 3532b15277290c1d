"""Python's garbage collector while a command starts and ends: thousands of modules come in and stay."""

from __future__ import annotations

import atexit
import gc

USUAL = gc.get_threshold()
STARTING = 50_000
"""New objects between two collections; with the usual 700 a tenth of the start goes into scanning modules."""


def relax() -> None:
    """Collects rarely, from here to `restore` or to the end of the command, and not at the end of the process."""
    gc.set_threshold(STARTING, *USUAL[1:])
    # What is registered first runs last: all other handlers still see a collector that works.
    atexit.register(gc.freeze)


def restore() -> None:
    """Collects as usual: a training step must not keep tensors that only a collection frees."""
    gc.set_threshold(*USUAL)
