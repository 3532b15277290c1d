"""What all figures share: counting what was tried and held, the record of a figure, and the table of all of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")]

RECORDS = ROOT / "benchmarks" / "results" / "faults"
TABLE = ROOT / "benchmarks" / "results" / "faults.md"
SHOWN = 20
"""Failures that a record keeps."""


@dataclass(slots=True)
class Tally:
    """Counts of one figure."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)
    """What did not hold, with the words that show it again."""
    measured: str = ""
    """A sentence of figures beside the counts, for the table."""

    @property
    def held(self) -> int:
        return self.tried - len(self.failures)

    def count(self, failure: str | None) -> None:
        """Counts one try; None: it held."""
        self.tried += 1
        if failure:
            # Hostile words may hold what no terminal and no UTF-8 file takes.
            shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in failure)
            self.failures.append(shown)
            print(f"NOT HELD: {shown}", flush=True)


Trial = Callable[[Path, int, int], Tally]
"""Folder to work in, how many tries, seed -> what was tried and held."""


def main(name: str, title: str, count: int, trial: Trial) -> int:
    """Runs a figure as a program: `python -m benchmarks.faults.NAME [--count N] [--seed N] [--no-record]`.

    Args:
        name: of the module, and of its record.
        title: what is tried and what must hold, a cell of the table.
        count: tries of the committed figure.
        trial: does it.

    Returns:
        The exit code: 1 if anything did not hold.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.faults.{name}", description=title)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-record", action="store_true", help="leave benchmarks/results as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ftcli-faults-") as folder:
        began = time.monotonic()
        tally = trial(Path(folder), options.count, options.seed)
        seconds = time.monotonic() - began
    print(f"{title}: {tally.held} of {tally.tried} held, {seconds:.0f} s. {tally.measured}", flush=True)
    if not options.no_record:
        command = f"python -m benchmarks.faults.{name}" + (
            f" --count {options.count}" if options.count != count else ""
        )
        record(name, title, tally, seconds, command)
    return 1 if tally.failures or not tally.tried else 0


def record(name: str, title: str, tally: Tally, seconds: float, command: str) -> None:
    """Writes the figure's record, and the table of all records."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    row = {"title": title, "tried": tally.tried, "held": tally.held, "seconds": round(seconds), "measured": tally.measured,
           "failures": tally.failures[:SHOWN], "command": command, "conditions": conditions()}  # fmt: skip
    (RECORDS / f"{name}.json").write_text(
        json.dumps(row, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    TABLE.write_text(table(RECORDS), encoding="utf-8")


def conditions() -> str:
    """Returns date, hardware, versions and commit in one line."""
    from importlib.metadata import version

    from machine import commit, cpu

    return (f"{datetime.now(UTC):%Y-%m-%d}, {cpu()}, {len(os.sched_getaffinity(0))} cores, Python {sys.version.split()[0]}, "
            f"torch {version('torch')}, transformers {version('transformers')}{commit()}")  # fmt: skip


def table(records: Path) -> str:
    """Returns the table of all records, in the order of `ORDER`; conditions that differ are numbered."""
    from benchmarks.faults import ORDER

    found: dict[str, dict[str, Any]] = {
        file.stem: json.loads(file.read_text(encoding="utf-8")) for file in records.glob("*.json")
    }
    rows = [
        found[name]
        for name in sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    ]
    places = list(dict.fromkeys(row["conditions"] for row in rows))
    lines = ["# Faults that are provoked: tried and held", "",
             "Each line is a command; `make faults` runs all of them, and `tests/faults/` the short part. SECURITY.md says what is promised.",
             "A command with `--count` made fewer tries than `make faults` makes.", "",
             *(f"{number}. {place}." for number, place in enumerate(places, 1)), "",
             "| what is tried, and what must hold | tried | held | seconds | measured | command | conditions |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        cells = [row["title"], f"{row['tried']:,}", f"{row['held']:,}", f"{row['seconds']:,}", row["measured"], f"`{row['command']}`",
                 str(places.index(row["conditions"]) + 1)]  # fmt: skip
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    failed = [(row["command"], failure) for row in rows for failure in row["failures"]]
    if failed:
        lines += [
            "",
            "Not held:",
            "",
            *(f"- `{command}`: {' '.join(failure.split())[:400]}" for command, failure in failed),
        ]
    return "\n".join(lines) + "\n"
