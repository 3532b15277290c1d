"""Runs all figures, one after the other, and writes the table: `python -m benchmarks.faults [--only NAME ...] [--quick]`.

With --quick each figure makes a few tries and nothing is recorded.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.faults import figure

COMMANDS = {
    "positions": ["positions"], "damage": ["damage"], "non_finite": ["non_finite"], "locks": ["locks"], "golden": ["golden"],
    "payloads": ["payloads"], "canaries": ["canaries"],
    "resume_fields": ["resume_fields"], "signals": ["signals"], "memory": ["memory"], "disk": ["disk"], "kills": ["kills"],
    "hostile": ["hostile", "words", "schedules", "configs", "models", "images", "names", "data"], "long_run": ["long_run"],
}  # fmt: skip
"""Name -> module and its arguments; the quick ones first."""
QUICK = {"positions": 50, "damage": 12, "non_finite": 8, "locks": 4, "resume_fields": 10, "signals": 8, "memory": 6, "disk": 1, "kills": 1,
         "hostile": 20, "payloads": 60, "long_run": 20_000}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    failed = []
    for name in options.only:
        module, *arguments = COMMANDS[name]
        if options.quick:
            arguments += ["--no-record", *(["--count", str(QUICK[name])] if name in QUICK else [])]
        if subprocess.run(
            [sys.executable, "-m", f"benchmarks.faults.{module}", *arguments], cwd=figure.ROOT, check=False
        ).returncode:
            failed.append(name)
    print(f"not held: {', '.join(failed)}" if failed else "all held", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
