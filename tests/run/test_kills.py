"""Real processes, real SIGKILL: the same bytes at the end. The long run is `make kills`."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_kills_in_training_evaluation_and_save_end_bit_identical():
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    runs, of, kills = map(
        int, re.search(r"(\d+) of (\d+) killed runs identical, after (\d+) kills", done.stdout).groups()
    )
    assert runs == of > 0 and kills >= 4
    assert all(f"{kind} " in done.stdout for kind in ("random", "in a save", "in evaluation"))
