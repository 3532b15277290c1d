"""`ftcli` and `python -m ftcli`: a signal that comes while the first modules are imported ends with its exit code too."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Runs the command line; whatever a Ctrl-C interrupts, the imports and the exit of the process too, shows no traceback."""
    # A stream that was closed before the command began (`>&-`) is None, which no library expects.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole process
    try:
        from ftcli.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
