"""Golden runs of older versions: scored, predicted from, resumed, compared and exported by this version, as then.

    python -m benchmarks.faults.golden [--no-record]

Runs tests/golden, which holds the run directories, and counts its tests.
"""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as Tree
from pathlib import Path

from benchmarks.faults import figure

TITLE = "golden runs of older versions are scored, predicted from, resumed, compared and exported as then"


def tested(folder: Path, tests: str) -> figure.Tally:
    """Runs tests of the suite and counts them."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", tests, "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run(command, cwd=figure.ROOT, capture_output=True, text=True, check=False)
    tally = figure.Tally()
    if not report.is_file():
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    for case in Tree.parse(report).getroot().iter("testcase"):
        failed = [found for kind in ("failure", "error") if (found := case.find(kind)) is not None]
        tally.count(f"{case.get('name')}: {failed[0].get('message', '')[:300]}" if failed else None)
    return tally


def trial(folder: Path, count: int, seed: int) -> figure.Tally:
    """Runs the tests of tests/golden; `count` and `seed` change nothing: the runs are what they are."""
    tally = tested(folder, "tests/golden")
    versions = sorted(
        place.name for place in (figure.ROOT / "tests" / "golden").iterdir() if (place / "runs").is_dir()
    )
    tally.measured = f"runs of ftcli {', '.join(versions)}"
    return tally


if __name__ == "__main__":
    sys.exit(figure.main("golden", TITLE, 0, trial))
