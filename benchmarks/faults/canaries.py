"""Canary secrets in the environment, in files of the home and as the hub's token: in no byte written, printed or sent.

    python -m benchmarks.faults.canaries [--no-record]

Runs tests/hub/test_secrets.py, in which 14 commands run beside a hub on this machine that records every byte it gets, and counts its tests.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.faults import figure, golden

TITLE = "12 canary secrets in variables, files of the home and the hub's token: in no byte written, printed or sent, but the token to the hub itself"


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Runs the tests; `count` and `seed` change nothing."""
    tally = golden.tested(folder, "tests/hub/test_secrets.py")
    tally.measured = "tests, each over 12 secrets and all commands"
    return tally


if __name__ == "__main__":
    sys.exit(figure.main("canaries", TITLE, 0, trial))
