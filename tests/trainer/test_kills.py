"""Real processes, real SIGKILL: the same bytes at the end. The long run is `make kills`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_six_kills_end_bit_identical():
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 runs identical" in done.stdout
