"""`ftcli` and `python -m ftcli`: a signal that comes while the first modules are imported ends with its exit code too."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Runs the command line; whatever a Ctrl-C interrupts, the imports and the exit of the process too, shows no traceback."""
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
