"""On a machine with a GPU and without a network: the tests of the device, then a short throughput table.

    WHEELS=DIR OUT=DIR [FTCLI_DATA=DIR] python benchmarks/gpu/run.py [--minutes 9] [--workers 8] [--rows 12800] [--only tier full lora] [--rehearse]

Nothing is written outside OUT. In this order, each result appended to OUT/rows.jsonl as it comes:

1. wheels of WHEELS are installed into OUT/site (`pip install --no-index --no-deps --target`), for the Python that runs this;
2. versions, the device and packages that are missing;
3. `pytest --device cuda` (its output: OUT/tier.txt), for at most five ninths of the time;
4. GPT-2 small with random weights on SST-2 (made-up rows of like lengths without FTCLI_DATA): ftcli, the tuned Trainer, LoRA with both,
   each a process of its own; then again in turn while time is left.

`OUT/table.md` is written after each row; copy it to benchmarks/results/gpu.md. Exit code 1 if a test or a row failed.
With --rehearse a GPT-2 of two layers, 64 rows and one file of tests on the CPU, with the device imitated: it takes a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

from table import rows_of, write  # noqa: E402

PARTS = ["tier", "full", "lora"]
TIER_SHARE = 5 / 9
SLOWEST_START = 45.0
"""Seconds below which no further run is begun."""


class Session:
    """The time that is left, the environment of children, and the file of rows.

    Args:
        out: folder for everything that is written.
        minutes: when the last child is ended.
    """

    def __init__(self, out: Path, minutes: float) -> None:
        self.out, self.ends = out, time.monotonic() + 60 * minutes
        out.mkdir(parents=True, exist_ok=True)
        self.rows = out / "rows.jsonl"
        self.rows.write_text("")
        paths = [out / "site", ROOT, ROOT / "benchmarks"]
        self.env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
                                 "FTCLI_CACHE": str(out / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip

    def left(self) -> float:
        """Returns the seconds that are left."""
        return self.ends - time.monotonic()

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row, and writes the table with it."""
        with self.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(json.dumps(row)[:400], flush=True)
        write(self.rows, self.out / "table.md")

    def child(self, command: list[str], output: Path, seconds: float) -> tuple[int, float]:
        """Runs a command with its output in a file; returns its exit code (124: out of time) and its seconds."""
        began = time.monotonic()
        with output.open("w") as file:
            try:
                code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=self.env, cwd=ROOT, timeout=max(seconds, 1),
                                      check=False).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                code = 124
        return code, time.monotonic() - began


def install(session: Session, wheels: Path) -> None:
    """Installs every wheel of the folder, without an index and without dependencies."""
    files = sorted(map(str, wheels.glob("*.whl")))
    if not files:
        sys.exit(f"WHEELS={wheels} holds no wheel")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(session.out / "site"),
    ]
    code, seconds = session.child([*pip, *files], session.out / "wheels.txt", session.left())
    session.write({"row": "wheels", "count": len(files), "code": code, "seconds": seconds, "said": tail(session.out / "wheels.txt") if code else ""})  # fmt: skip


def peer(session: Session, script: Path, what: dict[str, Any], name: str) -> dict[str, Any]:
    """Runs a script whose argument and last line are JSON; returns that line, or `failed` with what it said."""
    output = session.out / f"{name}.txt"
    code, seconds = session.child([sys.executable, str(script), json.dumps(what)], output, session.left())
    if code:
        return {"failed": code, "seconds": seconds, "said": tail(output)}
    try:
        return json.loads(output.read_text().strip().splitlines()[-1]) | {"seconds": seconds}
    except (ValueError, IndexError):
        return {"failed": 0, "seconds": seconds, "said": tail(output)}


def tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1500:]


def tier(session: Session, options: argparse.Namespace) -> bool:
    """Runs the tests of the device; returns whether all passed."""
    has = (
        subprocess.run(
            [sys.executable, "-c", "import xdist"], env=session.env, capture_output=True, check=False
        ).returncode
        == 0
    )
    spread = ["-n", str(options.workers), "--dist", "loadfile"] if has and not options.rehearse else []
    which = (
        ["tests/trainer/test_evaluation.py", "--device", "imitated", "-k", "modes_and"]
        if options.rehearse
        else ["tests", "--device", "cuda"]
    )
    report = session.out / "tier.xml"
    command = [sys.executable, "-m", "pytest", *which, *spread, "-ra", "--tb=short", "--color=no", "-p", "no:cacheprovider",
               f"--junitxml={report}", "--maxfail=40"]  # fmt: skip
    code, seconds = session.child(command, session.out / "tier.txt", session.left() * TIER_SHARE)
    session.write(
        {"row": "tier", "code": code, "seconds": seconds, **counts(report, session.out / "tier.txt")}
    )
    return code == 0


def counts(report: Path, output: Path) -> dict[str, Any]:
    """Returns passed, failed and skipped of a JUnit file, and the end of the output where there is none."""
    import xml.etree.ElementTree as Tree

    if not report.is_file():
        return {"said": tail(output)}
    suites = list(Tree.parse(report).getroot().iter("testsuite"))
    total, failed, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "skipped")
    )
    errors = sum(int(suite.get("errors", 0)) for suite in suites)
    cases = [f"{case.get('classname')}::{case.get('name')}" for case in Tree.parse(report).getroot().iter("testcase")
             if case.find("failure") is not None or case.find("error") is not None]  # fmt: skip
    return {
        "passed": total - failed - errors - skipped,
        "failed": failed + errors,
        "skipped": skipped,
        "which": cases[:40],
    }


def throughput(session: Session, options: argparse.Namespace, device: str) -> bool:
    """Runs the lines of the table in turn while there is time; returns whether all ran."""
    what = {
        "to": str(session.out),
        "rows": options.rows,
        "tiny": options.rehearse,
        "data": os.environ.get("FTCLI_DATA"),
    }
    made = peer(session, HERE / "inputs.py", what, "inputs")
    if "failed" in made:
        session.write({"row": "inputs", **made})
        return False
    well, slowest, repetition = True, SLOWEST_START, 0
    while repetition < options.repeats:
        repetition += 1
        chosen = [
            row
            for row in rows_of(session.out, made, device, repetition)
            if row[0].partition(",")[0] in options.only
        ]
        for name, script, argument in chosen:
            if session.left() < slowest and not options.rehearse:
                return well
            found = peer(
                session,
                HERE.parent / "peers" / f"{script}.py",
                argument,
                f"{name}-{repetition}".replace(" ", "-").replace(",", ""),
            )
            slowest = max(slowest, 1.2 * found["seconds"])
            well = well and "failed" not in found
            session.write({"row": "throughput", "name": name, "repetition": repetition, **found})
    return well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rows", type=int, default=12800)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    if options.rehearse:
        options.rows, options.repeats = 64, 1
    session = Session(Path(os.environ.get("OUT", "gpu-results")).absolute(), options.minutes)
    if os.environ.get("WHEELS"):
        install(session, Path(os.environ["WHEELS"]))
    probe = peer(session, HERE / "probe.py", {}, "probe")
    session.write({"row": "machine", "rehearsal": options.rehearse, **probe})
    if "failed" in probe or not (probe["cuda"] or options.rehearse):
        sys.exit(f"no CUDA device: {probe.get('said') or probe['device']}")
    well = tier(session, options) if "tier" in options.only else True
    if {"full", "lora"} & set(options.only):
        well &= throughput(session, options, "cpu" if options.rehearse else "cuda")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
